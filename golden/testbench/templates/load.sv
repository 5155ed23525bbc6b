      for (index = 0; index < @stream@_WORDS; index = index + 1) @stream@[index] = {1'b1, @width@'d0};
      $readmemh({dir, "/@file@"}, @stream@, 0, @stream@_WORDS - 1);
      for (index = 0; index < @stream@_WORDS; index = index + 1)
        if (@stream@[index][@width@] !== 1'b0) missing = missing + 1;
