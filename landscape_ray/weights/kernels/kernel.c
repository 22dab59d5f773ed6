/* One pass over part of a tensor: read the start, draw the vectors, add them up in float32, cast, write, digest.

   The same numbers as philox.py and perturbation.py, to the bit: every operation on floats below is one that IEEE 754
   defines, in the same order. So compile without contracting products and sums (-ffp-contract=off). Loops are plain, for
   compilers to vectorize. n is a number of counters, of four normals each, and N the largest there is. */

#include <math.h>
#include <stdint.h>
#include <string.h>
#ifdef __AVX2__
#include <immintrin.h>
#endif

#define N 256 /* a multiple of four */

enum type { FLOAT32, BFLOAT16, FLOAT16 };

static double as_double(uint64_t bits) { double value; memcpy(&value, &bits, 8); return value; }
static uint64_t double_bits(double value) { uint64_t bits; memcpy(&bits, &value, 8); return bits; }
static float as_float(uint32_t bits) { float value; memcpy(&value, &bits, 4); return value; }
static uint32_t float_bits(float value) { uint32_t bits; memcpy(&bits, &value, 4); return bits; }

#ifdef __AVX2__
/* Products of low halves are one instruction, where compilers make four of a 64-bit product. */
typedef uint64_t lanes __attribute__((vector_size(32)));
static const lanes ORDER = {0, 1, 2, 3};
static lanes low_products(lanes a, uint32_t b) { return (lanes)_mm256_mul_epu32((__m256i)a, _mm256_set1_epi64x(b)); }
#else
typedef uint64_t lanes;
static const lanes ORDER = 0;
static lanes low_products(lanes a, uint32_t b) { return (uint64_t)(uint32_t)a * b; }
#endif
enum { LANES = sizeof(lanes) / sizeof(uint64_t) };

/* philox_words: the words of n counters, one a lane, in its low half. */
static void draw_words(uint64_t key, uint64_t first, int n, uint32_t words[restrict 4][N])
{
    for (int i = 0; i < n; i += LANES) {
        lanes c0 = ORDER + (first + (uint64_t)i), c1 = c0 >> 32, c2 = {0}, c3 = {0};
        uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
#pragma GCC unroll 10
        for (int round = 0; round < 10; round++) {
            lanes p0 = low_products(c0, 0xD2511F53u), p1 = low_products(c2, 0xCD9E8D57u);
            c0 = (p1 >> 32) ^ c1 ^ k0;
            c1 = p1;
            c2 = (p0 >> 32) ^ c3 ^ k1;
            c3 = p0;
            k0 += 0x9E3779B9u;
            k1 += 0xBB67AE85u;
        }
        const lanes last[4] = {c0, c1, c2, c3};
        for (int word = 0; word < 4; word++) {
            uint64_t c[LANES];
            memcpy(c, &last[word], sizeof c);
            for (int lane = 0; lane < LANES; lane++)
                words[word][i + lane] = (uint32_t)c[lane];
        }
    }
}

/* _radius and _cos_sin: two normals of each pair of words. */
static void box_muller(const uint32_t *restrict radius_words, const uint32_t *restrict angle_words,
                       int n, float *restrict even, float *restrict odd)
{
    const uint64_t root_half = 0x3FE6A09E667F3BCD, mantissa = ((uint64_t)1 << 52) - 1;
    for (int i = 0; i < n; i++) {
        /* Signed conversions and exponents by way of bits, because these have vector instructions everywhere. */
        double u = ((double)(int32_t)(radius_words[i] ^ 0x80000000u) + 2147483648.5) * 0x1p-32;
        uint64_t bits = double_bits(u) - root_half + ((uint64_t)64 << 52);
        double k = as_double((bits >> 52) | 0x4330000000000000) - (0x1p52 + 64);
        double m = as_double((bits & mantissa) + root_half);
        double s = (m - 1.0) / (m + 1.0), s2 = s * s;
        double p = s2 * -0.3921619127950611 + -0.4434849982015498;
        p = p * s2 + -0.5714433229175145;
        p = p * s2 + -0.7999998978366476;
        p = p * s2 + -1.3333333335915851;
        p = p * s2 + -3.9999999999998943;
        double radius = sqrt(p * s + k * -1.3862943611198906);

        uint32_t quadrant = (angle_words[i] + 0x20000000u) >> 30; /* a wrap makes 0 of 4 */
        double x = ((double)(int32_t)(angle_words[i] - (quadrant << 30)) + 0.5) * 1.4629180792671596e-09, x2 = x * x;
        double c = x2 * -2.717342984102282e-07 + 2.4798928755323667e-05;
        c = c * x2 + -0.0013888880393776424;
        c = c * x2 + 0.04166666654391119;
        c = c * x2 + -0.49999999999351113;
        c = c * x2 + 0.9999999999999444;
        double t = x2 * -2.475655877198039e-08 + 2.7555271893389817e-06;
        t = t * x2 + -0.0001984126329839051;
        t = t * x2 + 0.00833333332387815;
        t = t * x2 + -0.16666666666616686;
        t = (t * x2 + 0.9999999999999957) * x;
        uint64_t cosine = double_bits(c), sine = double_bits(t);
        uint64_t exchange = (cosine ^ sine) & -(uint64_t)(quadrant & 1);
        cosine = cosine ^ exchange ^ ((uint64_t)((quadrant + 1) & 2) << 62);
        sine = sine ^ exchange ^ ((uint64_t)(quadrant & 2) << 62);
        even[i] = (float)(radius * as_double(cosine));
        odd[i] = (float)(radius * as_double(sine));
    }
}

/* The 4 n normals from counter `first` on. */
static void draw(uint64_t key, uint64_t first, int n, float *restrict out)
{
    uint32_t words[4][N];
    float z[4][N];
    draw_words(key, first, n, words);
    box_muller(words[0], words[1], n, z[0], z[1]);
    box_muller(words[2], words[3], n, z[2], z[3]);
    for (int i = 0; i < n; i++)
        for (int lane = 0; lane < 4; lane++)
            out[4 * i + lane] = z[lane][i];
}

static void read_start(const void *start, enum type type, int64_t offset, int64_t count, float *restrict out)
{
    if (type == FLOAT32) {
        memcpy(out, (const float *)start + offset, (size_t)count * sizeof(float));
    } else if (type == BFLOAT16) {
        const uint16_t *in = (const uint16_t *)start + offset;
        for (int64_t i = 0; i < count; i++)
            out[i] = as_float((uint32_t)in[i] << 16);
    } else {
        const _Float16 *in = (const _Float16 *)start + offset;
        for (int64_t i = 0; i < count; i++)
            out[i] = (float)in[i];
    }
}

static void cast(const float *restrict sums, enum type type, int64_t count, void *out)
{
    if (type == FLOAT32) {
        memcpy(out, sums, (size_t)count * sizeof(float));
    } else if (type == BFLOAT16) {
        uint16_t *restrict to = out;
        for (int64_t i = 0; i < count; i++) { /* round half to even; not a number stays one */
            uint32_t bits = float_bits(sums[i]);
            uint32_t rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16;
            to[i] = (uint16_t)((bits & 0x7FFFFFFF) > 0x7F800000 ? 0x7FC0 : rounded);
        }
    } else {
        _Float16 *restrict to = out;
        for (int64_t i = 0; i < count; i++)
            to[i] = (_Float16)sums[i];
    }
}

/* WeightsDigest: what elements from `index` on add to the sum of their tensor. */
static uint64_t digest(const void *content, int64_t size, int64_t index, int64_t count)
{
    const unsigned char *bytes = content;
    int64_t per_word = 8 / size;
    uint64_t sum = 0;
    int64_t i = 0;
    while (i < count) {
        uint64_t word = 0;
        int64_t lane = (index + i) % per_word, taken = per_word - lane < count - i ? per_word - lane : count - i;
        if (taken == per_word)
            break;
        memcpy((unsigned char *)&word + lane * size, bytes + i * size, (size_t)(taken * size));
        sum += word * (uint64_t)(2 * ((index + i) / per_word) + 1);
        i += taken;
    }
    uint64_t odd = (uint64_t)(2 * ((index + i) / per_word) + 1);
    for (; i + per_word <= count; i += per_word, odd += 2) {
        uint64_t word;
        memcpy(&word, bytes + i * size, 8);
        sum += word * odd;
    }
    if (i < count) {
        uint64_t word = 0;
        memcpy(&word, bytes + i * size, (size_t)((count - i) * size));
        sum += word * odd;
    }
    return sum;
}

/* Elements start .. stop-1 of a vector of standard normals. */
void normals(uint64_t key, int64_t start, int64_t stop, float *out)
{
    float z[4 * N];
    while (start < stop) {
        int64_t lane = start % 4, count = 4 * N - lane < stop - start ? 4 * N - lane : stop - start;
        draw(key, (uint64_t)(start / 4), (int)((lane + count + 3) / 4), z);
        memcpy(out, z + lane, (size_t)count * sizeof(float));
        start += count;
        out += count;
    }
}

/* Write `cast(start + sum of factor * normals)` and return what it adds to the digest's sum of the tensor.

   out, start      element (0, 0) of matrices of `rows` rows and `columns` columns, with so many elements from row to row
   index           of element (0, 0) in the checkpoint's tensor, with `index_step` from row to row
   keys            of the vectors
   factors         what multiplies each vector, with `factor_steps` (0 or 1) from row to row */
uint64_t place(void *out, int64_t out_step, int out_type, const void *start, int64_t start_step, int start_type,
               int64_t rows, int64_t columns, int64_t index, int64_t index_step,
               int64_t num_vectors, const uint64_t *keys, const float *const *factors, const int64_t *factor_steps)
{
    int64_t size = out_type == FLOAT32 ? 4 : 2;
    uint64_t sum = 0;
    for (int64_t row = 0; row < rows; row++) {
        int64_t column = 0;
        while (column < columns) {
            float sums[4 * N], z[4 * N];
            int64_t at = index + row * index_step + column, lane = at % 4;
            int64_t count = 4 * N - lane < columns - column ? 4 * N - lane : columns - column;
            read_start(start, (enum type)start_type, row * start_step + column, count, sums);
            for (int64_t k = 0; k < num_vectors; k++) {
                float factor = factors[k][row * factor_steps[k]];
                draw(keys[k], (uint64_t)(at / 4), (int)((lane + count + 3) / 4), z);
                for (int64_t i = 0; i < count; i++)
                    sums[i] += z[lane + i] * factor;
            }
            void *to = (unsigned char *)out + (row * out_step + column) * size;
            cast(sums, (enum type)out_type, count, to);
            sum += digest(to, size, at, count);
            column += count;
        }
    }
    return sum;
}
