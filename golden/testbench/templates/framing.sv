      if (@prefix@_keys != 0 && @prefix@_@signal@ !== @expected@)
        if (fault())
          $display("  @module@: @prefix@_@signal@ case %0d beat %0d: expected 0x%h, actual 0x%h, time %0d", @prefix@_row, @prefix@_key, @expected@, @prefix@_@signal@, $time);
