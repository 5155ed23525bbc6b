  // Layer parameters are held from before a row's first beat until its output is taken.
  reg [@high@:0] layer;
  integer opened;  // rows that may have begun
