#!/bin/sh
# OBJCACHE of Verilator's makefiles: its own sources are the same in every program, so their objects
# are kept in OBJECT_CACHE by the words of the call, but for folders of headers, which come after
# Verilator's own. A model's own sources are compiled as usual.
words= previous= out=
for word; do
  case $previous in -o) out=$word ;; esac
  case $word in -I*) ;; *) words="$words $word" ;; esac
  previous=$word
done
case $out in
  verilated*.o) ;;
  *) exec "$@" ;;
esac
kept=$OBJECT_CACHE/$(printf '%s' "$words" | cksum | tr -d ' ')-$out
if [ -f "$kept" ]; then
  exec cp "$kept" "$out"
fi
"$@" && { cp "$out" "$kept.$$" && mv "$kept.$$" "$kept" || true; }
