// A crossbar's columns: cells of a few levels, digits on the wordlines, an ADC and a shift-and-add
// unit. Cells and sums are numbers here; what is analogue in a real array is exact.
//
// One step a clock while `valid`. Opcodes as in bitpim/golden/ARRAYS.md, but for READ_PACKED. The ADC
// reads (partial sum + half a step) / 2^STEP, at most 2^ADC_BITS - 1; ADC_BITS and STEP describe it.
// BUG plants one fault: 0 none, 1 the rounding carry wraps at the top code, 2 negative factors add,
// 3 the clamp is one too low, 4 a read that is left out keeps its codes.
module crossbar_columns #(
    parameter ROWS = 16,
    parameter COLS = 8,
    parameter DAC_BITS = 1,
    parameter ADC_BITS = 4,
    parameter STEP = 0,
    parameter SUMS = 4,
    parameter BUG = 0
) (
    input  wire                  clk,
    input  wire                  clear,
    input  wire                  valid,
    input  wire [11:0]           opcode,
    input  wire [15:0]           row,         // to program
    input  wire [COLS*16-1:0]    levels,      // for it
    input  wire [ROWS*8-1:0]     digits,      // to drive
    input  wire [ROWS-1:0]       open_rows,
    input  wire [COLS-1:0]       open_cols,
    input  wire [COLS*16-1:0]    sum_of,      // which sum each column adds to
    input  wire [COLS*8-1:0]     place,       // by how many places its code is shifted
    input  wire [COLS-1:0]       minus,       // whether it is subtracted
    input  wire [7:0]            shift,       // of all columns
    output wire [ROWS*COLS*16-1:0] all_cells,
    output wire [ROWS*64-1:0]    all_inputs,
    output reg  [ROWS-1:0]       opened,
    output wire [COLS*64-1:0]    all_partial_sums,
    output wire [COLS*64-1:0]    all_codes,
    output wire [SUMS*64-1:0]    all_sums,
    output reg  [31:0]           n_taken
);
    localparam PROGRAM = 1024, DRIVE = 1025, READ = 1026, READ_UNLESS_ZERO = 1027,
               SHIFT_ADD = 1029, SHIFT_SUBTRACT = 1030, CLEAR = 1032;
    localparam TOP = (1 << ADC_BITS) - 1;
    localparam HALF = STEP == 0 ? 0 : (1 << STEP) >> 1;

    reg signed [15:0] cells [0:ROWS*COLS-1];
    reg [7:0]         inputs [0:ROWS-1];
    reg signed [63:0] partial_sums [0:COLS-1];
    reg signed [63:0] codes [0:COLS-1];
    reg signed [63:0] sums [0:SUMS-1];

    genvar g;
    generate
        for (g = 0; g < ROWS*COLS; g = g + 1) begin : flat_cells
            assign all_cells[g*16 +: 16] = cells[g];
        end
        for (g = 0; g < ROWS; g = g + 1) begin : flat_inputs
            assign all_inputs[g*64 +: 64] = {56'b0, inputs[g]};
        end
        for (g = 0; g < COLS; g = g + 1) begin : flat_partial_sums
            assign all_partial_sums[g*64 +: 64] = partial_sums[g];
        end
        for (g = 0; g < COLS; g = g + 1) begin : flat_codes
            assign all_codes[g*64 +: 64] = codes[g];
        end
        for (g = 0; g < SUMS; g = g + 1) begin : flat_sums
            assign all_sums[g*64 +: 64] = sums[g];
        end
    endgenerate

    integer r, c, s, partial, rounded, limit;
    reg any;
    reg signed [63:0] added;
    always @(posedge clk) begin
        if (clear) begin
            for (r = 0; r < ROWS*COLS; r = r + 1) cells[r] <= 16'sd0;
            for (r = 0; r < ROWS; r = r + 1) inputs[r] <= 8'd0;
            for (c = 0; c < COLS; c = c + 1) partial_sums[c] <= 64'sd0;
            for (c = 0; c < COLS; c = c + 1) codes[c] <= 64'sd0;
            for (s = 0; s < SUMS; s = s + 1) sums[s] <= 64'sd0;
            opened <= {ROWS{1'b0}};
            n_taken <= 0;
        end else if (valid) begin
            n_taken <= n_taken + 1;
            case (opcode)
                PROGRAM:
                    for (c = 0; c < COLS; c = c + 1)
                        cells[row*COLS + c] <= $signed(levels[c*16 +: 16]);
                DRIVE:
                    for (r = 0; r < ROWS; r = r + 1) inputs[r] <= digits[r*8 +: 8];
                READ, READ_UNLESS_ZERO: begin
                    any = opcode == READ;
                    for (r = 0; r < ROWS; r = r + 1) any = any || (open_rows[r] && inputs[r] != 0);
                    opened <= any ? open_rows : {ROWS{1'b0}};
                    for (c = 0; c < COLS; c = c + 1) if (open_cols[c]) begin
                        partial = 0;
                        for (r = 0; r < ROWS; r = r + 1)
                            if (open_rows[r])
                                partial = partial + $signed({1'b0, inputs[r]}) * cells[r*COLS + c];
                        partial_sums[c] <= partial;
                        rounded = (partial + HALF) >>> STEP;
                        limit = BUG == 3 ? TOP - 1 : TOP;
                        if (BUG == 1)
                            codes[c] <= (partial >>> STEP) > TOP ? TOP : rounded & TOP;
                        else if (any || BUG != 4)
                            codes[c] <= !any ? 0 : rounded > limit ? limit : rounded;
                    end
                end
                SHIFT_ADD, SHIFT_SUBTRACT:
                    for (s = 0; s < SUMS; s = s + 1) begin
                        added = 64'sd0;
                        for (c = 0; c < COLS; c = c + 1)
                            if (open_cols[c] && sum_of[c*16 +: 16] == s)
                                if (minus[c] && BUG != 2)
                                    added = added - (codes[c] <<< (place[c*8 +: 8] + shift));
                                else
                                    added = added + (codes[c] <<< (place[c*8 +: 8] + shift));
                        sums[s] <= opcode == SHIFT_ADD ? sums[s] + added : sums[s] - added;
                    end
                CLEAR:
                    for (s = 0; s < SUMS; s = s + 1) sums[s] <= 64'sd0;
                default: ;
            endcase
        end
    end
endmodule
