// A compute SRAM: ROWS x COLS cells, a carry and a tag latch under each column.
//
// One step a clock while `valid`: open rows a and b, compute, update a latch, write row d.
// Opcodes are those of the logic family sram and the array's own four (bitpim/golden/ARRAYS.md).
// BUG plants one fault, for the test of the test: 0 none, 1 the carry of ADD is A | B,
// 2 a predicate holds back the latch too, 3 a predicate looks at the carry that comes,
// 4 a move ignores its group, 5 the array takes no more than 10 steps.
module sram_subarray #(
    parameter ROWS = 16,
    parameter COLS = 64,
    parameter BUG  = 0
) (
    input  wire                 clk,
    input  wire                 clear,
    input  wire                 valid,
    input  wire [9:0]           opcode,
    input  wire [15:0]          row_a,
    input  wire [15:0]          row_b,
    input  wire [15:0]          row_d,
    input  wire                 write,      // row d is written
    input  wire                 if_tag,     // only where the tag is 1
    input  wire signed [31:0]   distance,   // of a move
    input  wire [31:0]          group,      // columns of a group of a move
    input  wire [COLS-1:0]      port_in,
    output reg  [COLS-1:0]      port_out,
    output reg  [COLS-1:0]      carry,
    output reg  [COLS-1:0]      tag,
    output reg  [31:0]          n_taken,    // steps since the last clear
    output wire [ROWS*COLS-1:0] all_rows    // row 0 lowest
);
    localparam PORT_WRITE = 512, PORT_READ = 513, MOVE = 514, MOVE_AND_CLEAR = 515,
               MOVE_WHERE = 516, MOVE_WHERE_AND_CLEAR = 517;

    reg [COLS-1:0] cells [0:ROWS-1];

    genvar r;
    generate
        for (r = 0; r < ROWS; r = r + 1) begin : flat
            assign all_rows[r*COLS +: COLS] = cells[r];
        end
    endgenerate

    wire [COLS-1:0] a = cells[row_a];
    wire [COLS-1:0] b = cells[row_b];

    // which columns have a partner in their own group
    reg [COLS-1:0]      reach;
    reg signed [32:0]   at, partner;
    integer c;
    always @* begin
        at = 0;
        for (c = 0; c < COLS; c = c + 1) begin
            partner = at + distance;
            reach[c] = partner >= 0 && partner < $signed({1'b0, group});
            at = (at + 1 == $signed({1'b0, group})) ? 0 : at + 1;
        end
        if (BUG == 4) reach = {COLS{1'b1}};
    end
    wire [31:0]     back  = -distance;
    wire [COLS-1:0] moved = reach & (distance < 0 ? a << back : a >> distance);

    reg [COLS-1:0] result, next_carry, next_tag, half;
    always @* begin
        result = {COLS{1'b0}};
        next_carry = carry;
        next_tag = tag;
        half = a ^ b;
        case (opcode)
            0:  result = {COLS{1'b0}};
            1:  result = {COLS{1'b1}};
            2:  result = a;
            3:  result = ~a;
            4:  result = a & b;
            5:  result = ~(a & b);
            6:  result = a | b;
            7:  result = ~(a | b);
            8:  result = a ^ b;
            9:  result = ~(a ^ b);
            10: begin
                result = half ^ carry;
                next_carry = BUG == 1 ? a | b : (a & b) | (half & carry);
            end
            12: begin result = a ^ carry;    next_carry = a & carry;  end
            13: begin result = ~(a ^ carry); next_carry = ~a & carry; end
            14: begin result = ~(a ^ carry); next_carry = a | carry;  end
            15: begin result = a ^ carry;    next_carry = ~a | carry; end
            16: result = carry;
            17: result = tag;
            20: next_carry = {COLS{1'b0}};
            21: next_carry = {COLS{1'b1}};
            31: next_tag = {COLS{1'b1}};
            32: next_tag = a;
            33: next_tag = ~a;
            34: next_tag = carry;
            35: next_tag = ~carry;
            36: next_tag = tag & a;
            37: next_tag = tag & ~a;
            39: next_tag = tag & ~(a ^ b);
            PORT_WRITE: result = port_in;
            MOVE:       result = moved;
            MOVE_WHERE: result = moved & port_in;
            MOVE_AND_CLEAR: begin result = moved; next_carry = {COLS{1'b0}}; end
            MOVE_WHERE_AND_CLEAR: begin
                result = moved & port_in;
                next_carry = {COLS{1'b0}};
            end
            default: ;
        endcase
    end

    wire [COLS-1:0] chosen = BUG == 3 ? next_carry : tag;
    wire [COLS-1:0] where = if_tag ? chosen : {COLS{1'b1}};

    integer i;
    always @(posedge clk) begin
        if (clear) begin
            for (i = 0; i < ROWS; i = i + 1) cells[i] <= {COLS{1'b0}};
            carry <= {COLS{1'b0}};
            tag <= {COLS{1'b0}};
            port_out <= {COLS{1'b0}};
            n_taken <= 0;
        end else if (valid && !(BUG == 5 && n_taken == 10)) begin
            carry <= (BUG == 2 && if_tag) ? (next_carry & tag) | (carry & ~tag) : next_carry;
            tag <= next_tag;
            if (write) cells[row_d] <= (result & where) | (cells[row_d] & ~where);
            n_taken <= n_taken + 1;
        end
        if (valid && !clear && opcode == PORT_READ) port_out <= a;
    end
endmodule
