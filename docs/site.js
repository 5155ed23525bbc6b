// What accessibility needs beyond the theme: a name for its search, and wide parts that keys can scroll.
const named = () => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  const wides = ".md-typeset__scrollwrap:not([tabindex]), .md-typeset pre > code:not([tabindex])";
  for (const wide of document.querySelectorAll(wides)) {
    wide.tabIndex = 0;
  }
};
named();
new MutationObserver(named).observe(document.body, {
  attributeFilter: ["tabindex"], // which the theme takes away where there is no pointer
  childList: true,
  subtree: true,
});
