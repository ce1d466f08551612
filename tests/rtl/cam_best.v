// A content-addressable memory: ROWS words of BITS bits, each bit 0, 1 or not cared for.
//
// One step a clock while `valid`: a row written, a query put on the search lines, or a search,
// whose match lines and answer stay. Opcodes as in bitpim/golden/ARRAYS.md, but for SEARCH_NEAREST.
// BUG plants one fault: 0 none, 1 ties go to the other end, 2 bits that are not cared for count,
// 3 a threshold is one too strict.
module cam_best #(
    parameter ROWS = 8,
    parameter BITS = 16,
    parameter BUG  = 0
) (
    input  wire                 clk,
    input  wire                 clear,
    input  wire                 valid,
    input  wire [11:0]          opcode,
    input  wire [31:0]          number,
    input  wire [31:0]          row,
    input  wire                 highest,
    input  wire [BITS-1:0]      word,
    input  wire [BITS-1:0]      word_care,
    output reg  [2*BITS-1:0]    query,      // its bits low, its care above
    output reg  [ROWS-1:0]      match,
    output reg  [191:0]         answer,     // row, distance, matches, 64 bits each
    output reg  [31:0]          n_taken,
    output wire [ROWS*BITS-1:0] all_values,
    output wire [ROWS*BITS-1:0] all_cares
);
    localparam WRITE = 2048, QUERY = 2049, TERNARY = 2051, PREFIX = 2052, THRESHOLD = 2053,
               BEST = 2054;

    reg [BITS-1:0] value [0:ROWS-1];
    reg [BITS-1:0] care [0:ROWS-1];

    genvar g;
    generate
        for (g = 0; g < ROWS; g = g + 1) begin : flat
            assign all_values[g*BITS +: BITS] = value[g];
            assign all_cares[g*BITS +: BITS] = care[g];
        end
    endgenerate

    wire [BITS-1:0] top = opcode == PREFIX ? ~({BITS{1'b1}} >> number) : {BITS{1'b1}};
    wire [BITS-1:0] asked = query[2*BITS-1 -: BITS] & top;

    integer r, k, apart, least, limit, winner, n_up;
    integer distance [0:ROWS-1];
    reg [ROWS-1:0] up;
    reg [BITS-1:0] differs;
    always @* begin
        least = BITS + 1;
        for (r = 0; r < ROWS; r = r + 1) begin
            differs = (value[r] ^ query[BITS-1:0]) & asked;
            if (BUG != 2) differs = differs & care[r];
            apart = 0;
            for (k = 0; k < BITS; k = k + 1) apart = apart + differs[k];
            distance[r] = apart;
            if (apart < least) least = apart;
        end
        limit = opcode == BEST ? least : opcode == THRESHOLD ? number - (BUG == 3) : 0;
        winner = -1;
        n_up = 0;
        for (r = 0; r < ROWS; r = r + 1) begin
            up[r] = distance[r] <= limit;
            n_up = n_up + up[r];
            if (up[r] && (winner < 0 || (highest ^ (BUG == 1)))) winner = r;
        end
    end

    wire measures = opcode == BEST || opcode == THRESHOLD;
    wire signed [63:0] won = winner;
    wire signed [63:0] far = winner < 0 ? -1 : measures ? distance[winner] : 0;
    wire signed [63:0] many = n_up;

    integer i;
    always @(posedge clk) begin
        if (clear) begin
            for (i = 0; i < ROWS; i = i + 1) begin
                value[i] <= {BITS{1'b0}};
                care[i] <= {BITS{1'b0}};
            end
            query <= {2*BITS{1'b0}};
            match <= {ROWS{1'b0}};
            answer <= 192'b0;
            n_taken <= 0;
        end else if (valid) begin
            if (opcode == WRITE) begin
                value[row] <= word;
                care[row] <= word_care;
            end
            if (opcode == QUERY) query <= {word_care, word};
            if (opcode >= TERNARY && opcode <= BEST) begin
                match <= up;
                answer <= {many, far, won};
            end
            n_taken <= n_taken + 1;
        end
    end
endmodule
