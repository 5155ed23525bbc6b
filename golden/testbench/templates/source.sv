  // @prefix@: @what@.
  localparam integer @prefix@_LANES = @lanes@;
  localparam integer @prefix@_WIDTH = @width@;
  reg @prefix@_tvalid, @prefix@_tlast, @prefix@_ended;
  wire @prefix@_tready;
  reg [@prefix@_LANES*@prefix@_WIDTH-1:0] @prefix@_tdata, @prefix@_beat;
  reg [@prefix@_LANES-1:0] @prefix@_tkeep, @prefix@_keep;
  reg [31:0] @prefix@_random;
  reg [7:0] @prefix@_pauses;
  integer @prefix@_word, @prefix@_row, @prefix@_lane, @prefix@_keys;

  always @(posedge clk) begin
    @prefix@_random = rst_n ? random_after(@prefix@_random) : (seed ^ @salt@ ^ (start << 8)) | 1;
    if (cycle % 64 == 0) @prefix@_pauses = pauses(@prefix@_random);
    if (!rst_n) begin
      @prefix@_tvalid <= 1'b0;
      @prefix@_word <= begins[base];
      @prefix@_row <= base;
    end else if (!@prefix@_tvalid || @prefix@_tready) begin
      @prefix@_beat = {(@prefix@_LANES * @prefix@_WIDTH + 31) / 32{@prefix@_random}};
      if (@prefix@_word < @stream@_WORDS && @prefix@_row < opened && @prefix@_random[23:16] >= @prefix@_pauses) begin
        @prefix@_keep  = {@prefix@_LANES{1'b0}};
        @prefix@_ended = 1'b0;
        @prefix@_keys  = 0;
        for (@prefix@_lane = 0; @prefix@_lane < @prefix@_LANES; @prefix@_lane = @prefix@_lane + 1)
          if (!@prefix@_ended) begin
            @prefix@_beat[@prefix@_lane*@prefix@_WIDTH+:@prefix@_WIDTH] = @memory@[@prefix@_word+@prefix@_lane][@high@:@low@];
            @prefix@_keep[@prefix@_lane] = 1'b1;
            @prefix@_ended = stimulus[@prefix@_word+@prefix@_lane][@last@];
            @prefix@_keys = @prefix@_lane + 1;
          end
        @prefix@_tvalid <= 1'b1;
        @prefix@_tkeep <= @prefix@_keep;
        @prefix@_tlast <= @prefix@_ended;
        @prefix@_word <= @prefix@_word + @prefix@_keys;
        if (@prefix@_ended) @prefix@_row <= @prefix@_row + 1;
      end else begin
        @prefix@_tvalid <= 1'b0;
        @prefix@_tkeep <= @prefix@_random[15:8];
        @prefix@_tlast <= @prefix@_random[0];
      end
      @prefix@_tdata <= @prefix@_beat;
    end
    if (rst_n && @prefix@_tready !== 1'b0 && @prefix@_tready !== 1'b1)
      if (fault()) $display("  @module@: @prefix@_tready is unknown, time %0d", $time);
  end
