`ifdef NO_TKEEP
      if (`LANES != 1) begin
        $display("  a device without tkeep takes one key a beat");
        misfits = misfits + 1;
      end
`endif
