// A content-addressable memory: ROWS words of BITS bits, each bit 0, 1 or not cared for.
//
// One step a clock while `valid`, its numbers as in bitpim/golden/ARRAYS.md. All rows measure at
// once how far they are from the query; those within a limit keep their match lines up, and the
// lowest or highest of them is the answer. Lines and answer stay until the next search.
// BUG plants one fault: 0 none, 1 ties go to the other end, 2 bits that are not cared for count,
// 3 a threshold is one too strict, 4 numbers that tie go to the highest row, 5 stages begin with
// the lowest bits, 6 weights are off by one place, 7 the upper end of a range is left out,
// 8 a sign counts as any bit.
module cam #(
    parameter ROWS = 8,
    parameter BITS = 16,
    parameter BUG  = 0
) (
    input  wire                 clk,
    input  wire                 clear,
    input  wire                 valid,
    input  wire [11:0]          opcode,
    input  wire signed [31:0]   a,
    input  wire signed [31:0]   b,
    input  wire [31:0]          dst,
    input  wire [1:0]           rule,       // low: the highest row wins; high: two's complement
    input  wire [BITS-1:0]      word,
    input  wire [BITS-1:0]      word_care,
    input  wire [63:0]          weight_in,
    output reg  [2*BITS-1:0]    query,      // its bits low, its care above
    output reg  [2*BITS-1:0]    high,
    output reg  [ROWS-1:0]      match,
    output reg  [191:0]         answer,     // row, distance, matches, 64 bits each
    output reg  [31:0]          n_taken,
    output wire [ROWS*BITS-1:0] all_values,
    output wire [ROWS*BITS-1:0] all_cares,
    output wire [BITS*64-1:0]   all_weights
);
    localparam WRITE = 2048, QUERY = 2049, TERNARY = 2051, PREFIX = 2052, THRESHOLD = 2053,
               BEST = 2054, NEAREST = 2055, EXACT = 2056, WEIGHTED = 2057, WXOR = 2058,
               RANGE = 2059, PRECHARGE = 2060, STAGE = 2061, ELECT = 2062, WEIGH = 2063,
               HIGH = 2064;

    reg [BITS-1:0] value [0:ROWS-1];
    reg [BITS-1:0] care [0:ROWS-1];
    reg [63:0]     weight [0:BITS-1];

    genvar g;
    generate
        for (g = 0; g < ROWS; g = g + 1) begin : rows
            assign all_values[g*BITS +: BITS] = value[g];
            assign all_cares[g*BITS +: BITS] = care[g];
        end
        for (g = 0; g < BITS; g = g + 1) begin : bits
            assign all_weights[g*64 +: 64] = weight[g];
        end
    endgenerate

    // The bits that are compared: `width` of them, from bit `low` on.
    wire [31:0] top = opcode == PREFIX ? a : b < 0 ? BITS : b;
    wire [31:0] width = opcode == STAGE ? a : opcode == ELECT ? BITS - a : top;
    wire [31:0] begins = BUG == 5 ? BITS - a - b : b;
    wire [31:0] low = opcode == STAGE ? begins : opcode == ELECT ? a : BITS - top;
    wire [BITS-1:0] compared = ~({BITS{1'b1}} << width) << low;

    // A sign is flipped, so that the order of numbers is that of words.
    wire [BITS-1:0] flip = (rule[1] && BUG != 8) << (BITS - 1);

    wire [BITS-1:0] asked = query[BITS-1:0];
    wire [BITS-1:0] asked_care = query[2*BITS-1 -: BITS];

    // How far a row is from the query.
    function [63:0] apart(input [BITS-1:0] held, input [BITS-1:0] held_care);
        reg [BITS-1:0] differs;
        reg [63:0] number, sought;
        integer k;
        begin
            differs = (held ^ asked) & asked_care & compared & (BUG == 2 ? asked_care : held_care);
            number = ((held ^ flip) & compared) >> low;
            sought = ((asked ^ flip) & compared) >> low;
            apart = 0;
            case (opcode)
                TERNARY, PREFIX, EXACT: apart = differs != 0;
                THRESHOLD, BEST: for (k = 0; k < BITS; k = k + 1) apart = apart + differs[k];
                WEIGHTED:
                    for (k = 0; k < BITS; k = k + 1)
                        if (differs[k]) apart = apart + weight[(k + (BUG == 6)) % BITS];
                NEAREST, STAGE, ELECT:
                    apart = number > sought ? number - sought : sought - number;
                WXOR: apart = number ^ sought;
                RANGE:
                    apart = held < asked || held > high[BITS-1:0]
                            || (BUG == 7 && held == high[BITS-1:0]);
            endcase
        end
    endfunction

    // Of the rows that stand, those near enough stay up, and the lowest or highest of them wins.
    // What a search computes is there within its clock alone; lines and answer are what it leaves.
    wire [ROWS-1:0] stands = opcode == STAGE || opcode == ELECT ? match : {ROWS{1'b1}};
    wire highest = rule[0] ^ (BUG == 1) | (BUG == 4 && opcode == NEAREST);
    reg [63:0] distance [0:ROWS-1];
    reg [63:0] least, limit;
    reg [ROWS-1:0] up;
    reg signed [63:0] winner, far, n_up;
    integer r;
    task search;
        begin
            least = {64{1'b1}};
            for (r = 0; r < ROWS; r = r + 1) begin
                distance[r] = apart(value[r], care[r]);
                if (stands[r] && distance[r] < least) least = distance[r];
            end
            case (opcode)
                BEST, WEIGHTED, NEAREST, WXOR, STAGE: limit = least;
                THRESHOLD: limit = a;
                ELECT: limit = {64{1'b1}};
                default: limit = 0;
            endcase
            winner = -1;
            far = -1;
            n_up = 0;
            for (r = 0; r < ROWS; r = r + 1) begin
                up[r] = stands[r] && distance[r] <= limit;
                if (BUG == 3 && opcode == THRESHOLD) up[r] = distance[r] < limit;
                n_up = n_up + up[r];
                if (up[r] && (winner < 0 || highest)) begin
                    winner = r;
                    far = distance[r];
                end
            end
        end
    endtask

    integer i;
    always @(posedge clk) begin
        if (clear) begin
            for (i = 0; i < ROWS; i = i + 1) begin
                value[i] <= {BITS{1'b0}};
                care[i] <= {BITS{1'b0}};
            end
            for (i = 0; i < BITS; i = i + 1) weight[i] <= 64'b0;
            query <= {2*BITS{1'b0}};
            high <= {2*BITS{1'b0}};
            match <= {ROWS{1'b0}};
            answer <= 192'b0;
            n_taken <= 0;
        end else if (valid) begin
            case (opcode)
                WRITE: begin
                    value[dst] <= word;
                    care[dst] <= word_care;
                end
                QUERY: query <= {word_care, word};
                HIGH: high <= {word_care, word};
                WEIGH: weight[dst] <= weight_in;
                PRECHARGE, STAGE: begin
                    search;
                    match <= up;
                end
                TERNARY, PREFIX, THRESHOLD, BEST, NEAREST, EXACT, WEIGHTED, WXOR, RANGE, ELECT:
                begin
                    search;
                    match <= up;
                    answer <= {n_up, far, winner};
                end
            endcase
            n_taken <= n_taken + 1;
        end
    end
endmodule
