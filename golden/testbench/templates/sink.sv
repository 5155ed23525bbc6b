  // @prefix@: @what@.
  localparam integer @prefix@_LANES = @lanes@;
  localparam integer @prefix@_WIDTH = @width@;
  wire @prefix@_tvalid@wires@;
  wire [@prefix@_LANES*@prefix@_WIDTH-1:0] @prefix@_tdata;
@registers@
  reg @prefix@_ended;
  reg [@prefix@_WIDTH-1:0] @prefix@_wanted, @prefix@_found, @prefix@_care;
  integer @prefix@_word, @prefix@_row, @prefix@_key, @prefix@_lane, @prefix@_keys;

@show@

  task @prefix@_compare;
    begin
      @prefix@_ended = 1'b0;
      @prefix@_keys  = 0;
      for (@prefix@_lane = 0; @prefix@_lane < @prefix@_LANES; @prefix@_lane = @prefix@_lane + 1)
        if (!@prefix@_ended && @prefix@_word + @prefix@_lane < @stream@_WORDS) begin
          @prefix@_wanted = @memory@[@prefix@_word+@prefix@_lane][@high@:@low@];
          @prefix@_found = @prefix@_tdata[@prefix@_lane*@prefix@_WIDTH+:@prefix@_WIDTH];
          @prefix@_care = {@prefix@_WIDTH{1'b1}};
@ignored@
          if (((@prefix@_wanted ^ @prefix@_found) & @prefix@_care) !== {@prefix@_WIDTH{1'b0}})
            @prefix@_show(@prefix@_wanted, @prefix@_found, @prefix@_care, @prefix@_row, @prefix@_key + @prefix@_lane);
          @prefix@_ended = @last@;
          @prefix@_keys  = @prefix@_lane + 1;
        end
@framing@
      @prefix@_word <= @prefix@_word + @prefix@_keys;
      @prefix@_row  <= @prefix@_ended ? @prefix@_row + 1 : @prefix@_row;
      @prefix@_key  <= @prefix@_ended ? 0 : @prefix@_key + @prefix@_keys;
      if (@prefix@_keys == 0)
        if (fault()) $display("  @module@: a word too many on @prefix@, time %0d", $time);
    end
  endtask

  always @(posedge clk) begin
@handshake@
    if (!rst_n) begin
      @prefix@_word <= @begin@;
      @prefix@_row <= base;
      @prefix@_key <= 0;
    end else if (@prefix@_tvalid === 1'b1@accepted@) @prefix@_compare;
    if (rst_n && @prefix@_tvalid !== 1'b0 && @prefix@_tvalid !== 1'b1)
      if (fault()) $display("  @module@: @prefix@_tvalid is unknown, time %0d", $time);
  end
