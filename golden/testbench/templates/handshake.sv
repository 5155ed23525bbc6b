    @prefix@_random = rst_n ? random_after(@prefix@_random) : (seed ^ @salt@ ^ (start << 8)) | 1;
    if (cycle % 64 == 0) @prefix@_pauses = pauses(@prefix@_random);
    // A shy sink: now and then it waits for tvalid before it raises tready.
    if (!rst_n || (@prefix@_tvalid === 1'b1 && @prefix@_tready))
      @prefix@_shy = stall != 0 && @prefix@_random[31:30] == 2'd0;
    @prefix@_tready <= rst_n && @prefix@_random[23:16] >= @prefix@_pauses
      && (!@prefix@_shy || (@prefix@_tvalid === 1'b1 && !@prefix@_tready));
    if (rst_n && @prefix@_waiting)
      if (@prefix@_tvalid !== 1'b1 || @payload@ !== @prefix@_offered)
        if (fault())
          $display("  @module@: @prefix@ changed before it was taken, row %0d, time %0d", @prefix@_row, $time);
    @prefix@_waiting <= rst_n && @prefix@_tvalid === 1'b1 && !@prefix@_tready;
    @prefix@_offered <= @payload@;
