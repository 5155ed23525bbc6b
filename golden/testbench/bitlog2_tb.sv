// Modules of the self-checking testbenches: the same text in every vector set. Each `<module>_tb.sv`
// joins them to a device. Its last line is "PASS <module>: N words compared, ...", or
// "FAIL <module>: ..." and the exit status is then not 0.
//
// Macros:   DUT        name of the device's module (that of the testbench)
//           NO_TAPS    the optional outputs (tap_*, m_axis_keys_*) are not compared
//           TIE_TAPS   with NO_TAPS: the device has those with tready, always taken
//           LANES      keys a beat of the rows (4)
//           SET_LANES  give LANES to the device as its parameter of that name
//           NO_TKEEP   the device has no tkeep: it takes one key a beat
//           MUTANTS    the device has one more input, mutsel[31:0]
// Plusargs: +dir=PATH  where the .mem files lie (.)
//           +stop      stop at the first difference; without it the first ten are shown, then counted
//           +mutant=N +mutants=COUNT  drive mutsel with N, then N + 1, ...: a line for each
// of streams:
//           +seed=N    of the pauses (0)
//           +stall=N   pause N of 100 cycles on every stream, 0 to 99; without it a mixture
//           +idle=N    a hang is N cycles without a transfer
//           +resets=N  after the whole run, N resets at random moments of short runs (64)
//           +outputs   the optional outputs are not compared though the device has them
`timescale 1ns / 1ps

// State of a run and what counts and shows differences.
package bitlog2_tb;
  string bench;  // name of the tested module
  integer errors, faults, compared, cases, shown, mutant, mutants;
  integer misfits = 0, missing = 0;
  integer wrong_words, wrong_cases;
  integer start, resets;  // start 0 is the whole run; the others are short, each after a reset
  integer base;  // the case from which it runs
  integer from, broken;  // the start before it: its case, and the cycles after which it ended
  integer cycle, seed, stall;
  bit many, stop, outputs;
  integer begins[];  // the word with which each case begins
  integer wrong[];  // by case; 1 where it differs
  logic [31:0] mutsel;

  task automatic read_plusargs(input string name);
    bench = name;
    if (!$value$plusargs("mutant=%d", mutant)) mutant = 0;
    many = $value$plusargs("mutants=%d", mutants) != 0;
    if (!many) mutants = 1;
    stop  = $test$plusargs("stop") != 0;
    outputs = $test$plusargs("outputs") != 0;
    shown = many ? 0 : 10;
  endtask

  // The same numbers in every simulator.
  function automatic [31:0] random_after(input [31:0] state);
    reg [31:0] x;
    x = state ^ (state << 13);
    x = x ^ (x >> 17);
    return x ^ (x << 5);
  endfunction

  // Of 256 cycles, how many a stream pauses; drawn again every 64 cycles.
  function automatic [7:0] pauses(input [31:0] random);
    if (stall >= 0) return (stall * 256) / 100;
    case (random[10:8])
      3'd0, 3'd1, 3'd2: return 8'd0;
      3'd3: return 8'd32;
      3'd4: return 8'd96;
      3'd5: return 8'd160;
      3'd6: return 8'd208;
      default: return 8'd240;
    endcase
  endfunction

  // Counts a difference; 1 where it is to be shown.
  function automatic bit counted();
    errors = errors + 1;
    if (start != 0 && errors == 1)
      $display(
          "  after reset %0d, which broke off a run from case %0d after %0d cycles; from case %0d on:",
          start, from, broken, base
      );
    return errors <= shown && !(stop && errors > 1);
  endfunction

  // The same for a broken rule of a stream.
  function automatic bit fault();
    faults = faults + 1;
    return counted();
  endfunction

  // Counts a word that differs, and its case where it is the first one of it.
  task automatic differs(input integer row);
    wrong_words = wrong_words + 1;
    if (wrong[row] == 0) wrong_cases = wrong_cases + 1;
    wrong[row] = 1;
  endtask

  task automatic clear;
    integer index;
    {start, errors, faults, compared, wrong_words, wrong_cases} = 0;
    for (index = 0; index < cases; index = index + 1) wrong[index] = 0;
  endtask

  task automatic port(input string name, input integer width, input integer wanted);
    if (width != wanted) begin
      misfits = misfits + 1;
      $display("  %0s: port %0s of the device has %0d bits, must have %0d", bench, name, width, wanted);
    end
  endtask

  // Refuses ports that are not those of the contract, and files that are not whole.
  task automatic check(input string lanes);
    if (misfits != 0) begin
      $display("FAIL %0s: 0 words compared, %0d ports of the device do not fit%0s", bench, misfits, lanes);
      $fatal(0);
    end else if (missing != 0) begin
      $display("FAIL %0s: 0 words compared, %0d words of the vector files are missing", bench, missing);
      $fatal(0);
    end
  endtask

  task automatic report(input integer words, input string remarks);
    if (many) begin
      if (errors == 0 && compared == words)
        $display("mutant %0d: PASS, %0d words compared, %0d cycles", mutsel, compared, cycle);
      else
        $display("mutant %0d: FAIL, %0d of %0d words compared, %0d differences", mutsel, compared, words, errors);
    end else if (errors == 0 && compared == words)
      $display("PASS %0s: %0d words compared, %0d cases%0s", bench, compared, cases, remarks);
    else begin
      if (errors > shown) $display("  ... %0d more differences", errors - shown);
      $write("FAIL %0s: ", bench);
      if (start == 0)
        $write("%0d of %0d words differ, in %0d of %0d cases", wrong_words, words, wrong_cases, cases);
      else
        $write("%0d words differ after reset %0d of %0d, none of %0d without one", wrong_words, start, resets, words);
      if (compared != words) $write("; %0d words not compared", words - compared);
      if (faults != 0) $write("; %0d faults of the streams", faults);
      $display("");
      $fatal(0);
    end
  endtask

  // The lowest bits of a value, in as many digits as they have.
  function automatic string hex(input [63:0] value, input integer bits);
    string text;
    integer digit;
    text = "";
    for (digit = (bits + 3) / 4 - 1; digit >= 0; digit = digit - 1)
      case (bits - 4 * digit)
        1: text = $sformatf("%0s%h", text, value[4*digit+:1]);
        2: text = $sformatf("%0s%h", text, value[4*digit+:2]);
        3: text = $sformatf("%0s%h", text, value[4*digit+:3]);
        default: text = $sformatf("%0s%h", text, value[4*digit+:4]);
      endcase
    return text;
  endfunction
endpackage

// The words of a memory file, each one bit wider: the bit stays 1 where the file has no word.
module bitlog2_tb_memory #(
    parameter FILE = "",
    parameter integer WIDTH = 1,
    parameter integer WORDS = 1
);
  import bitlog2_tb::*;
  reg [WIDTH:0] words[0:WORDS-1];
  string folder;
  integer index;

  task load;
    begin
      if (!$value$plusargs("dir=%s", folder)) folder = ".";
      for (index = 0; index < WORDS; index = index + 1) words[index] = {1'b1, {WIDTH{1'b0}}};
      $readmemh($sformatf("%0s/%0s", folder, FILE), words, 0, WORDS - 1);
      for (index = 0; index < WORDS; index = index + 1)
        if (words[index][WIDTH] !== 1'b0) missing = missing + 1;
    end
  endtask
endmodule

// Where each case begins: after a stimulus word whose bit LAST is 1; where LAST is -1, with every word.
module bitlog2_tb_cases #(
    parameter FILE = "",
    parameter integer WORD_WIDTH = 1,
    parameter integer WORDS = 1,
    parameter integer LAST = -1
);
  import bitlog2_tb::*;
  bitlog2_tb_memory #(.FILE(FILE), .WIDTH(WORD_WIDTH), .WORDS(WORDS)) memory ();
  integer index;

  task load;
    begin
      memory.load;
      begins = new[WORDS + 1];
      wrong = new[WORDS];
      cases = 0;
      begins[0] = 0;
      for (index = 0; index < WORDS; index = index + 1)
        if (LAST < 0 || memory.words[index][LAST<0?0 : LAST]) begin
          cases = cases + 1;
          begins[cases] = index + 1;
        end
    end
  endtask
endmodule

// Compares words of a file with those of a device. They have FIELDS fields, the first in the highest
// bits, each with CHANNELS values of BITS bits. A field means nothing where bit GUARDS / 2 of the same
// word of GUARD_FILE is GUARDS % 2; -1 for a field that always means something.
module bitlog2_tb_compare #(
    parameter PLACE = "",  // unit.stream
    parameter integer PER_KEY = 0,
    parameter FILE = "",
    parameter integer WORDS = 1,
    parameter integer WORD_WIDTH = 1,
    parameter integer LOW = 0,
    parameter integer WIDTH = 1,
    parameter integer FIELDS = 1,
    parameter [128*FIELDS-1:0] NAMES = 0,
    parameter [32*FIELDS-1:0] BITS = 0,
    parameter [32*FIELDS-1:0] CHANNELS = 0,
    parameter [32*FIELDS-1:0] GUARDS = {32 * FIELDS{1'b1}},
    parameter GUARD_FILE = "",
    parameter integer GUARD_WIDTH = 0
);
  import bitlog2_tb::*;
  localparam GUARDED = GUARD_WIDTH != 0;
  localparam [63:0] ONE = 1;

  bitlog2_tb_memory #(.FILE(FILE), .WIDTH(WORD_WIDTH), .WORDS(WORDS)) memory ();
  bitlog2_tb_memory #(
      .FILE(GUARD_FILE), .WIDTH(GUARDED ? GUARD_WIDTH : 1), .WORDS(GUARDED ? WORDS : 1)
  ) guards ();

  reg [WIDTH-1:0] wanted, care;
  integer field, channel, low, bits, guard;
  reg [63:0] mask, expected, actual;

  task load;
    begin
      memory.load;
      if (GUARDED) guards.load;
    end
  endtask

  task compare(input integer word, input [WIDTH-1:0] found, input integer row, input integer key);
    begin
      wanted = memory.words[word][LOW+:WIDTH];
      care = {WIDTH{1'b1}};
      if (GUARDED) begin
        low = WIDTH;
        for (field = 0; field < FIELDS; field = field + 1) begin
          bits = BITS[32*(FIELDS-1-field)+:32];
          guard = GUARDS[32*(FIELDS-1-field)+:32];
          low = low - bits;  // guarded fields have one channel
          if (guard >= 0)
            if (guards.words[word][guard/2] == guard % 2) care = care & ~(((ONE << bits) - 1) << low);
        end
      end
      if (((wanted ^ found) & care) !== {WIDTH{1'b0}}) begin
        differs(row);
        low = WIDTH;
        for (field = 0; field < FIELDS; field = field + 1) begin
          bits = BITS[32*(FIELDS-1-field)+:32];
          low  = low - bits * CHANNELS[32*(FIELDS-1-field)+:32];
          mask = (ONE << bits) - 1;
          for (channel = 0; channel < CHANNELS[32*(FIELDS-1-field)+:32]; channel = channel + 1) begin
            expected = (wanted >> (low + channel * bits)) & mask;
            actual   = (found >> (low + channel * bits)) & mask;
            if (((expected ^ actual) & (care >> (low + channel * bits))) !== 64'd0)
              if (counted()) begin
                $write("  %0s case %0d", PLACE, row);
                if (PER_KEY) $write(" beat %0d", key);
                if (CHANNELS[32*(FIELDS-1-field)+:32] > 1) $write(" lane %0d", channel);
                $display(
                    " %0s: expected 0x%0s, actual 0x%0s, time %0d",
                    NAMES[128*(FIELDS-1-field)+:128], hex(expected, bits), hex(actual, bits), $time
                );
              end
          end
        end
      end
    end
  endtask
endmodule

// An AXI-Stream source: LANES words of a file a beat, with pauses of its own.
module bitlog2_tb_source #(
    parameter NAME = "",
    parameter FILE = "",
    parameter integer WORDS = 1,
    parameter integer WORD_WIDTH = 1,
    parameter integer LOW = 0,
    parameter integer WIDTH = 1,
    parameter integer LANES = 1,
    parameter [31:0] SALT = 0
) (
    input wire clk,
    input wire rst_n,
    input wire signed [31:0] opened,  // rows that may have begun
    output reg tvalid,
    input wire tready,
    output reg [LANES*WIDTH-1:0] tdata,
    output reg [LANES-1:0] tkeep,
    output reg tlast,
    output wire moved,
    output wire complete
);
  import bitlog2_tb::*;
  bitlog2_tb_memory #(.FILE(FILE), .WIDTH(WORD_WIDTH), .WORDS(WORDS)) memory ();
  reg ended;
  reg [LANES*WIDTH-1:0] beat;
  reg [LANES-1:0] keep;
  reg [31:0] random;
  reg [7:0] paused;
  integer word, row, lane, keys;

  initial memory.load;
  assign moved = (tvalid && tready) === 1'b1;
  assign complete = word == WORDS && !tvalid;

  always @(posedge clk) begin
    random = rst_n ? random_after(random) : (seed ^ SALT ^ (start << 8)) | 1;
    if (cycle % 64 == 0) paused = pauses(random);
    if (!rst_n) begin
      tvalid <= 1'b0;
      word <= begins[base];
      row <= base;
    end else if (!tvalid || tready) begin
      beat = {(LANES * WIDTH + 31) / 32{random}};
      if (word < WORDS && row < opened && random[23:16] >= paused) begin
        keep  = {LANES{1'b0}};
        ended = 1'b0;
        keys  = 0;
        for (lane = 0; lane < LANES; lane = lane + 1)
          if (!ended) begin
            beat[lane*WIDTH+:WIDTH] = memory.words[word+lane][LOW+:WIDTH];
            keep[lane] = 1'b1;
            ended = word + lane + 1 == begins[row+1];
            keys = lane + 1;
          end
        tvalid <= 1'b1;
        tkeep <= keep;
        tlast <= ended;
        word <= word + keys;
        if (ended) row <= row + 1;
      end else begin
        tvalid <= 1'b0;
        tkeep <= random[15:8];
        tlast <= random[0];
      end
      tdata <= beat;
    end
    if (rst_n && tready !== 1'b0 && tready !== 1'b1)
      if (fault()) $display("  %0s: %0s_tready is unknown, time %0d", bench, NAME, $time);
  end
endmodule

// An AXI-Stream sink or a tap: every word is compared, the handshake and the framing are checked.
module bitlog2_tb_sink #(
    parameter NAME = "",
    parameter PLACE = "",
    parameter FILE = "",
    parameter integer WORDS = 1,
    parameter integer WORD_WIDTH = 1,
    parameter integer LOW = 0,
    parameter integer WIDTH = 1,
    parameter integer FIELDS = 1,
    parameter [128*FIELDS-1:0] NAMES = 0,
    parameter [32*FIELDS-1:0] BITS = 0,
    parameter [32*FIELDS-1:0] CHANNELS = 0,
    parameter [32*FIELDS-1:0] GUARDS = {32 * FIELDS{1'b1}},
    parameter GUARD_FILE = "",
    parameter integer GUARD_WIDTH = 0,
    parameter integer LANES = 1,
    parameter integer PRESENT = 1,  // 0: the device lacks it, and it is not compared
    parameter integer OPTIONAL = 0,  // 1: not compared with +outputs
    parameter integer READY = 1,  // 0: a tap
    parameter integer FRAMED = 0,  // a beat a key, with tlast
    parameter integer KEEP = 0,  // whether there is tkeep
    parameter [31:0] SALT = 0
) (
    input wire clk,
    input wire rst_n,
    input wire tvalid,
    output wire tready,
    input wire [LANES*WIDTH-1:0] tdata,
    input wire [LANES-1:0] tkeep,
    input wire tlast,
    output wire moved,
    output wire complete,
    output wire [31:0] taken,  // words
    output integer row
);
  import bitlog2_tb::*;
  bitlog2_tb_compare #(
      .PLACE(PLACE), .PER_KEY(FRAMED), .FILE(FILE), .WORDS(WORDS), .WORD_WIDTH(WORD_WIDTH), .LOW(LOW),
      .WIDTH(WIDTH), .FIELDS(FIELDS), .NAMES(NAMES), .BITS(BITS), .CHANNELS(CHANNELS),
      .GUARDS(GUARDS), .GUARD_FILE(GUARD_FILE), .GUARD_WIDTH(GUARD_WIDTH)
  ) words ();

  wire [LANES*(WIDTH+1):0] offer = {tdata, FRAMED ? tlast : 1'b0, KEEP ? tkeep : {LANES{1'b0}}};
  reg [LANES*(WIDTH+1):0] offered;
  reg ready, waiting, second, ended;
  reg left_out = 1'b0;
  reg [31:0] random;
  reg [7:0] paused;
  integer word, key, lane, keys;

  initial if (PRESENT) words.load;
  assign tready = ready;
  assign moved = PRESENT && !left_out && (tvalid && (ready || !READY) && word < WORDS) === 1'b1;
  assign complete = !PRESENT || left_out || word == WORDS;
  assign taken = PRESENT && !left_out ? word : 0;

  task frame;
    begin
      ended = 1'b0;
      keys  = 0;
      for (lane = 0; lane < LANES; lane = lane + 1)
        if (!ended && word + lane < WORDS) begin
          words.compare(word + lane, tdata[lane*WIDTH+:WIDTH], row, key + lane);
          ended = !FRAMED || word + lane + 1 == begins[row+1];
          keys  = lane + 1;
        end
      if (FRAMED && keys != 0 && tlast !== ended)
        if (fault())
          $display(
              "  %0s: %0s_tlast case %0d beat %0d: expected 0x%h, actual 0x%h, time %0d",
              bench, NAME, row, key, ended, tlast, $time
          );
      if (KEEP && keys != 0 && tkeep !== ~({LANES{1'b1}} << keys))
        if (fault())
          $display(
              "  %0s: %0s_tkeep case %0d beat %0d: expected 0x%h, actual 0x%h, time %0d",
              bench, NAME, row, key, ~({LANES{1'b1}} << keys), tkeep, $time
          );
      word <= word + keys;
      row  <= ended ? row + 1 : row;
      key  <= ended ? 0 : key + keys;
      if (keys == 0) if (fault()) $display("  %0s: a word too many on %0s, time %0d", bench, NAME, $time);
    end
  endtask

  always @(posedge clk)
    if (PRESENT) begin
      left_out <= OPTIONAL && outputs;
      if (READY) begin
        random = rst_n ? random_after(random) : (seed ^ SALT ^ (start << 8)) | 1;
        if (cycle % 64 == 0) paused = pauses(random);
        // Now and then tready waits for tvalid.
        if (!rst_n || (tvalid === 1'b1 && ready)) second = stall != 0 && random[31:30] == 2'd0;
        ready <= rst_n && random[23:16] >= paused && (!second || (tvalid === 1'b1 && !ready));
        if (rst_n && waiting && !left_out)
          if (tvalid !== 1'b1 || offer !== offered)
            if (fault())
              $display("  %0s: %0s changed before it was taken, row %0d, time %0d", bench, NAME, row, $time);
        waiting <= rst_n && tvalid === 1'b1 && !ready;
        offered <= offer;
      end
      if (!rst_n) begin
        word <= FRAMED ? begins[base] : base;
        row <= base;
        key <= 0;
      end else if (tvalid === 1'b1 && (ready || !READY) && !left_out) frame;
      if (rst_n && !left_out && tvalid !== 1'b0 && tvalid !== 1'b1)
        if (fault()) $display("  %0s: %0s_tvalid is unknown, time %0d", bench, NAME, $time);
    end
endmodule

// Layer parameters, held from before a row's first beat until its output is taken.
module bitlog2_tb_params #(
    parameter FILE = "",
    parameter integer WORDS = 1,
    parameter integer WIDTH = 1
) (
    input wire clk,
    input wire rst_n,
    input wire signed [31:0] completed,  // rows
    output reg [WIDTH-1:0] layer,
    output integer opened
);
  import bitlog2_tb::*;
  bitlog2_tb_memory #(.FILE(FILE), .WIDTH(WIDTH), .WORDS(WORDS)) memory ();

  initial memory.load;
  always @(posedge clk)
    if (!rst_n) opened <= base;
    else if (opened < WORDS && (opened == completed || memory.words[opened][WIDTH-1:0] == layer)) begin
      layer  <= memory.words[opened][WIDTH-1:0];
      opened <= opened + 1;
    end
endmodule

// Clock and reset: the whole run, the runs that a reset breaks off, and the verdict.
module bitlog2_tb_run #(
    parameter MODULE = "",
    parameter FILE = "",  // stimulus
    parameter integer WORD_WIDTH = 1,
    parameter integer WORDS = 1,
    parameter integer LAST = -1,
    parameter integer COMPARED = 1,  // words of all sinks
    parameter integer REQUIRED = 1,  // words of those that are not optional
    parameter integer STREAMS = 1,
    parameter integer IDLE = 1000,  // cycles without a transfer that are a hang
    parameter integer SPAN = 1000,  // cycles of the longest run that a reset breaks off
    parameter integer LANES = 0,
    parameter REMARK = ""
) (
    output reg clk,
    output reg rst_n,
    input wire [STREAMS-1:0] moved,
    input wire [STREAMS-1:0] complete,
    input wire [31:0] taken
);
  import bitlog2_tb::*;
  localparam integer DRAIN = 100;  // cycles after the last word, in which no more may come
  bitlog2_tb_cases #(.FILE(FILE), .WORD_WIDTH(WORD_WIDTH), .WORDS(WORDS), .LAST(LAST)) stimulus ();
  integer quiet, idle, turn, draw, limit, drained;
  reg finished;
  string lanes;

  initial begin
    clk   = 1'b0;
    rst_n = 1'b0;
    base  = 0;
  end
  always #5 clk = !clk;
  always @(posedge clk) begin
    cycle <= rst_n ? cycle + 1 : 0;
    quiet <= rst_n && !(|moved) ? quiet + 1 : 0;
  end

  // Runs from a row on until all was given and taken, `cycles` are over and `words` taken, or nothing
  // moves any more.
  task run(input integer row, input integer cycles, input integer words);
    begin
      base  = row;
      rst_n = 1'b0;
      repeat (4) @(negedge clk);
      rst_n = 1'b1;
      words = words + taken;
      finished = 1'b0;
      drained  = 0;
      while (!finished) begin
        @(posedge clk);
        drained = &complete ? drained + 1 : 0;
        finished = drained > DRAIN || (cycle >= cycles && taken >= words) || (stop && errors != 0);
        if (!finished && quiet > idle) begin
          finished = 1'b1;
          if (fault()) $display("  %0s: no transfer for %0d cycles, time %0d", bench, idle, $time);
        end
      end
      @(negedge clk);
    end
  endtask

  initial begin
    read_plusargs(MODULE);
    if (!$value$plusargs("seed=%d", seed)) seed = 0;
    if (!$value$plusargs("stall=%d", stall)) stall = -1;
    if (!$value$plusargs("idle=%d", idle)) idle = IDLE;
    if (!$value$plusargs("resets=%d", resets)) resets = 64;
    if (stall > 99) begin
      $display("FAIL %0s: +stall must be at most 99, got %0d", MODULE, stall);
      $fatal(0);
    end
    stimulus.load;
    if (LANES != 0) lanes = $sformatf(", LANES = %0d", LANES);
    draw = (seed ^ 32'h2545f491) | 1;
    @(negedge clk);  // by then all files are read and all ports looked at
    check(lanes);
    for (turn = 0; turn < mutants; turn = turn + 1) begin
      mutsel = mutant + turn;
      clear;
      if (turn == 0) run(0, 32'h7fffffff, 0);
      else @(negedge clk) run(0, 32'h7fffffff, 0);
      compared = taken;
      while (errors == 0 && start < resets) begin
        {from, broken} = {base, cycle};
        start = start + 1;
        draw  = random_after(draw);
        limit = draw[30:8] % (SPAN >> draw[2:0]);
        draw  = random_after(draw);
        // Where a device stands still after a reset, one run of four sees it, and the last one.
        run(draw[30:0] % cases, limit, (start % 4 == 0 || start == resets) ? 1 : 0);
      end
      report(outputs ? REQUIRED : COMPARED, $sformatf(", %0d resets%0s%0s", resets, lanes, REMARK));
    end
    $finish(0);
  end
endmodule

// A device of plain ports: a word in, a word out.
module bitlog2_tb_plain #(
    parameter MODULE = "",
    parameter FILE = "",  // stimulus
    parameter integer WORD_WIDTH = 1,
    parameter integer LAST = -1,
    parameter PLACE = "",
    parameter EXPECTED = "",
    parameter integer WORDS = 1,
    parameter integer WIDTH = 1,
    parameter integer FIELDS = 1,
    parameter [128*FIELDS-1:0] NAMES = 0,
    parameter [32*FIELDS-1:0] BITS = 0,
    parameter [32*FIELDS-1:0] CHANNELS = 0
) (
    output reg [WORD_WIDTH-1:0] given,
    input wire [WIDTH-1:0] found
);
  import bitlog2_tb::*;
  bitlog2_tb_cases #(.FILE(FILE), .WORD_WIDTH(WORD_WIDTH), .WORDS(WORDS), .LAST(LAST)) stimulus ();
  bitlog2_tb_compare #(
      .PLACE(PLACE), .PER_KEY(LAST >= 0), .FILE(EXPECTED), .WORDS(WORDS), .WORD_WIDTH(WIDTH),
      .WIDTH(WIDTH), .FIELDS(FIELDS), .NAMES(NAMES), .BITS(BITS), .CHANNELS(CHANNELS)
  ) words ();
  integer word, row, turn;

  initial begin
    read_plusargs(MODULE);
    stimulus.load;
    words.load;
    for (turn = 0; turn < mutants; turn = turn + 1) begin
      mutsel = mutant + turn;
      clear;
      row = 0;
      word = 0;
      while (word < WORDS && !(stop && errors != 0)) begin
        given = stimulus.memory.words[word][WORD_WIDTH-1:0];
        #1;
        if (turn == 0 && word == 0) check("");
        words.compare(word, found, row, word - begins[row]);
        word = word + 1;
        if (word == begins[row+1]) row = row + 1;
      end
      compared = word;
      report(WORDS, "");
    end
    $finish(0);
  end
endmodule
