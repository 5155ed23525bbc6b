// What accessibility needs beyond the theme: a name for its search, wide parts that keys can scroll, and
// no way by keys to what it hides from readers.
const named = () => {
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
  const wides = ".md-typeset__scrollwrap:not([tabindex]), .md-typeset pre > code:not([tabindex])";
  for (const wide of document.querySelectorAll(wides)) {
    wide.tabIndex = 0;
  }
  for (const hidden of document.querySelectorAll(".md-option[aria-hidden]:not([tabindex])")) {
    hidden.tabIndex = -1;
  }
};
named();
new MutationObserver(named).observe(document.body, {
  attributeFilter: ["tabindex"], // which the theme takes away where there is no pointer
  childList: true,
  subtree: true,
});
