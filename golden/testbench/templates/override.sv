`ifdef SET_LANES
      #(.LANES(`LANES))
`endif
