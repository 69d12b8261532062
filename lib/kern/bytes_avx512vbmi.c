/*
 * bytes_avx512vbmi.c - products of coded rows in 8 bits, AVX-512 with VBMI and VNNI.
 *
 * Owns: the unpacking of codes to bytes, and the tiles of 16 rows of W by up to 12 rows of x.
 * Must not know: which method has which form.
 *
 * One instruction multiplies four columns of 16 rows of W, a vector of bytes, by four of a row of
 * x, the same in every lane. So codes are turned, 16 bytes of each of 16 rows at a time, before
 * they are unpacked: half of the work of turning bytes. Up to 12 rows of x are multiplied on the
 * way, and sums stay in registers; for more the bytes of some units wait in the first-level cache.
 */
#include "kern_avx512.h"
#include "kern_bytes.h"

#if LQI_X86

#include <string.h>

/* The instruction's own type: any other has its sums copied to and fro (gcc 12). */
typedef __v16si bytes_vnni_t;

/* ---- x ---- */

/* The four words of a vector, into a panel, whose rows are `apart` bytes. */
LQI_INLINE LQI_AVX512 void bytes_512_store(int8_t *q, size_t apart, __m128i v)
{
  _mm_storeu_si32(q, v);
  _mm_storeu_si32(q + apart, _mm_shuffle_epi32(v, 1));
  _mm_storeu_si32(q + 2 * apart, _mm_shuffle_epi32(v, 2));
  _mm_storeu_si32(q + 3 * apart, _mm_shuffle_epi32(v, 3));
}

LQI_AVX512 void lqi_byte_round_avx512(const float *x, size_t n, const struct lqi_byte_x *out,
                                      size_t r)
{
  const __m128i order = out->split
                            ? _mm_setr_epi8(0, 2, 4, 6, 1, 3, 5, 7, 8, 10, 12, 14, 9, 11, 13, 15)
                            : _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  struct lqi_byte_x to = *out;
  for (size_t k = 0; k < n; k += to.unit, to.t += to.rows, to.minus += to.rows) {
    __m512i sum = _mm512_setzero_si512();
    float most = lqi_absmax_f32_avx512(x + k, to.unit);
    to.q = out->q + k * to.rows;
    if (LQI_UNLIKELY(!(most <= FLT_MAX))) {
      lqi_byte_round_c(x + k, to.unit, &to, r);
      continue;
    }
    const int usual = most >= 0x1p-100f;
    __m512 by = _mm512_set1_ps(usual ? 127.0f / most : 0.0f);
    for (size_t c = 0; c < to.unit; c += 16) {
      __m512i v = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + k + c), by));
      bytes_512_store(to.q + c * to.rows + 4 * r, 4 * to.rows,
                      _mm_shuffle_epi8(_mm512_cvtepi32_epi8(v), order));
      sum = _mm512_add_epi32(sum, v);
    }
    to.t[r] = usual ? most / 127.0f : 0.0f;
    to.minus[r] = -_mm512_reduce_add_epi32(sum) * to.times;
  }
}

/* ---- Weights ---- */

/* The first 32 bytes of row r and of row r + 4; half: 16. */
LQI_INLINE LQI_AVX512VBMI __m512i bytes_vnni_two(const uint8_t *from, size_t apart, int half)
{
  const uint8_t *other = from + 4 * apart;
  if (half)
    return _mm512_inserti64x4(_mm512_castsi128_si512(_mm_loadu_si128((const void *)from)),
                              _mm256_castsi128_si256(_mm_loadu_si128((const void *)other)), 1);
  return _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_loadu_si256((const void *)from)),
                            _mm256_loadu_si256((const void *)other), 1);
}

/* Rows 0 to 7: lane 0 of vector c has dword c of the first four, lane 1 their dword c + 4; lanes 2
 * and 3 those of the others. */
LQI_INLINE LQI_AVX512VBMI void bytes_vnni_eight(const uint8_t *from, size_t apart, int half,
                                                __m512i out[4])
{
  __m512i a = bytes_vnni_two(from, apart, half), b = bytes_vnni_two(from + apart, apart, half),
          c = bytes_vnni_two(from + 2 * apart, apart, half),
          d = bytes_vnni_two(from + 3 * apart, apart, half);
  __m512i low = _mm512_unpacklo_epi32(a, b), next = _mm512_unpacklo_epi32(c, d),
          high = _mm512_unpackhi_epi32(a, b), last = _mm512_unpackhi_epi32(c, d);
  out[0] = _mm512_unpacklo_epi64(low, next);
  out[1] = _mm512_unpackhi_epi64(low, next);
  out[2] = _mm512_unpacklo_epi64(high, last);
  out[3] = _mm512_unpackhi_epi64(high, last);
}

/* Of each of 16 rows 32 bytes, half: 16: dword l of vector c is the c-th of row l, c < 8 or 4. */
LQI_INLINE LQI_AVX512VBMI void bytes_vnni_turn(const uint8_t *from, size_t apart, int half,
                                               __m512i out[8])
{
  __m512i first[4], second[4];
  bytes_vnni_eight(from, apart, half, first);
  bytes_vnni_eight(from + 8 * apart, apart, half, second);
  X86_UNROLL
  for (size_t c = 0; c < 4; c++) {
    out[c] = _mm512_shuffle_i32x4(first[c], second[c], 0x88);
    out[4 + c] = _mm512_shuffle_i32x4(first[c], second[c], 0xdd);
  }
}

/* 64 codes of 2 or 3 bits, or 32, a byte each: 8 in each quarter of a line of 32. */
LQI_INLINE LQI_AVX512VBMI __m512i bytes_vnni_narrow(const uint8_t *from, int form, int half)
{
  const __m512i low3 = _mm512_set1_epi64(0x15120f0c09060300),
                low2 = _mm512_set1_epi64(0x0e0c0a0806040200);
  if (form == LQI_FORM_LOW2) {
    __m128i v = half ? _mm_loadl_epi64((const void *)from) : _mm_loadu_si128((const void *)from);
    return _mm512_and_si512(_mm512_multishift_epi64_epi8(low2, _mm512_cvtepu16_epi64(v)),
                            _mm512_set1_epi8(3));
  }
  /* Three bytes to each quarter. */
  const __m512i three = _mm512_set_epi64(0x171615, 0x141312, 0x11100f, 0x0e0d0c, 0x0b0a09, 0x080706,
                                         0x050403, 0x020100);
  __m512i v = _mm512_maskz_loadu_epi8(half ? 0xfff : 0xffffff, from);
  return _mm512_and_si512(_mm512_multishift_epi64_epi8(low3, _mm512_permutexvar_epi8(three, v)),
                          _mm512_set1_epi8(7));
}

/* A unit of 16 rows of W, and where it is turned from: where it lies, or, if rows are missing or
 * codes have 2 or 3 bits, a copy with 16 rows, of a byte each. */
struct bytes_vnni_unit {
  const uint8_t *codes;
  size_t row_bytes, rows;
  __m512 f;
  __m512i z;
  uint8_t copy[LQI_BYTE_ROWS][BYTES_UNIT];
  const uint8_t *at;
  size_t apart;
  __m512i table;
};

LQI_INLINE LQI_AVX512VBMI void bytes_vnni_copy(struct bytes_vnni_unit *w, int form, size_t unit)
{
  const size_t bits = lqi_form_bits(form);
  for (size_t r = 0; r < w->rows; r++) {
    const uint8_t *codes = w->codes + r * w->row_bytes;
    if (bits < 4)
      _mm512_storeu_si512(w->copy[r], bytes_vnni_narrow(codes, form, unit < BYTES_UNIT));
    else
      _mm512_mask_storeu_epi8(w->copy[r], ~0ull >> (64 - unit * bits / 8),
                              _mm512_maskz_loadu_epi8(~0ull >> (64 - unit * bits / 8), codes));
  }
}

LQI_INLINE LQI_AVX512VBMI void bytes_vnni_begin(struct bytes_vnni_unit *w, int form, size_t unit)
{
  w->at = w->codes;
  w->apart = w->row_bytes;
  if (w->rows < LQI_BYTE_ROWS || lqi_form_bits(form) < 4) {
    bytes_vnni_copy(w, form, unit);
    w->at = w->copy[0];
    w->apart = BYTES_UNIT;
  }
}

/* A vector of turned codes, as operands: of 4-bit codes two. */
LQI_INLINE LQI_AVX512VBMI void bytes_vnni_operands(__m512i v, int form, __m512i table,
                                                   __m512i out[2])
{
  const __m512i nibble = _mm512_set1_epi8(15), high = _mm512_srli_epi16(v, 4);
  if (form == LQI_FORM_BOOK4) {
    /* The table is there four times: other bits of an index do not matter. */
    out[0] = _mm512_permutexvar_epi8(high, table);
    out[1] = _mm512_permutexvar_epi8(v, table);
  } else if (form == LQI_FORM_LOW4) {
    out[0] = _mm512_and_si512(v, nibble);
    out[1] = _mm512_and_si512(high, nibble);
  } else {
    out[0] = form == LQI_FORM_I8 ? _mm512_xor_si512(v, _mm512_set1_epi8((char)0x80)) : v;
  }
}

/* ---- Products ---- */

/* Sums of m rows of x, a constant where this is inlined, and 16 of W, before a unit. */
LQI_INLINE LQI_AVX512VBMI void bytes_vnni_zero(const struct lqi_byte_x *x, size_t m, __m512i z,
                                               bytes_vnni_t *whole)
{
  /* Both factors fit in 16 bits: one multiplication, where that of 32 bits is two. */
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    whole[j] = x->times != 1 ? (bytes_vnni_t)_mm512_set1_epi32(x->minus[j])
                             : (bytes_vnni_t)_mm512_madd_epi16(z, _mm512_set1_epi32(x->minus[j]));
}

LQI_INLINE LQI_AVX512VBMI void bytes_vnni_step(__m512i v, const int8_t *q, size_t m,
                                               bytes_vnni_t *whole)
{
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    whole[j] = (bytes_vnni_t)_mm512_dpbusd_epi32(
        (__m512i)whole[j], v, _mm512_broadcastd_epi32(_mm_loadu_si32(q + 4 * j)));
}

LQI_INLINE LQI_AVX512VBMI __m512 bytes_vnni_fold(bytes_vnni_t whole, __m512 f, float t, __m512 sum)
{
  return _mm512_fmadd_ps(_mm512_cvtepi32_ps((__m512i)whole), _mm512_mul_ps(f, _mm512_set1_ps(t)),
                         sum);
}

/* Sums go on in as many chains as hide how long an instruction takes. */
LQI_INLINE size_t bytes_vnni_chains(size_t m)
{
  return m == 1 ? 4 : m == 4 ? 2 : 1;
}

/* Vector c of turned codes by a panel of m rows. */
LQI_INLINE LQI_AVX512VBMI void bytes_vnni_vector(__m512i v, size_t c, int form, __m512i table,
                                                 const int8_t *q, size_t m, bytes_vnni_t *whole)
{
  const size_t chains = bytes_vnni_chains(m);
  __m512i operand[2];
  bytes_vnni_operands(v, form, table, operand);
  if (lqi_form_bits(form) == 4) {
    bytes_vnni_step(operand[0], q + c * 8 * m, m, whole + 2 * c % chains * m);
    bytes_vnni_step(operand[1], q + c * 8 * m + 4 * m, m, whole + (2 * c + 1) % chains * m);
  } else {
    bytes_vnni_step(operand[0], q + c * 4 * m, m, whole + c % chains * m);
  }
}

/* 32 bytes of each row of W, half: 16, by the only panel of x, of m rows. */
LQI_INLINE LQI_AVX512VBMI void bytes_vnni_codes(const struct bytes_vnni_unit *w, size_t at,
                                                int form, int half, const int8_t *q, size_t m,
                                                bytes_vnni_t *whole)
{
  const size_t count = half ? 4 : 8;
  __m512i v[8];
  bytes_vnni_turn(w->at + at, w->apart, half, v);
  /* With many sums, registers do not suffice for all: turned codes wait in memory. */
  if (m == 1)
    X86_UNROLL
  for (size_t c = 0; c < count; c++)
    bytes_vnni_vector(v[c], c, form, w->table, q, m, whole);
  else for (size_t c = 0; c < count; c++) bytes_vnni_vector(v[c], c, form, w->table, q, m, whole);
}

/* A unit by the only panel of x. */
LQI_INLINE LQI_AVX512VBMI void bytes_vnni_direct(struct bytes_vnni_unit *w, int form,
                                                 const struct lqi_byte_x *x, size_t m, __m512 *sum)
{
  const size_t chains = bytes_vnni_chains(m);
  bytes_vnni_t whole[LQI_BYTE_PANEL];
  bytes_vnni_zero(x, m, w->z, whole);
  X86_UNROLL
  for (size_t j = m; j < chains * m; j++)
    whole[j] = (bytes_vnni_t)_mm512_setzero_si512();
  bytes_vnni_begin(w, form, x->unit);
  if (lqi_form_bits(form) != 4) {
    for (size_t k = 0; k < x->unit; k += 32)
      bytes_vnni_codes(w, k, form, 0, x->q + k * m, m, whole);
  } else if (x->unit == BYTES_UNIT) {
    bytes_vnni_codes(w, 0, form, 0, x->q, m, whole);
  } else {
    bytes_vnni_codes(w, 0, form, 1, x->q, m, whole);
  }
  X86_UNROLL
  for (size_t j = m; j < chains * m; j++)
    whole[j % m] += whole[j];
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    sum[j] = bytes_vnni_fold(whole[j], w->f, x->t[j], sum[j]);
}

/* ---- Many rows of x ---- */

/* Units whose bytes are kept. */
enum { BYTES_VNNI_KEPT = 3 };

struct bytes_vnni_kept {
  _Alignas(64) uint8_t tile[BYTES_VNNI_KEPT][BYTES_UNIT * LQI_BYTE_ROWS];
  _Alignas(64) float f[BYTES_VNNI_KEPT][LQI_BYTE_ROWS];
  _Alignas(64) int32_t z[BYTES_VNNI_KEPT][LQI_BYTE_ROWS];
  size_t units;
};

LQI_INLINE LQI_AVX512VBMI void bytes_vnni_keep(struct bytes_vnni_unit *w, int form, size_t unit,
                                               struct bytes_vnni_kept *kept)
{
  const size_t each = lqi_form_bits(form) == 4 ? 2 : 1, once = each * 32;
  uint8_t *tile = kept->tile[kept->units];
  _mm512_store_ps(kept->f[kept->units], w->f);
  _mm512_store_si512(kept->z[kept->units], w->z);
  kept->units++;
  bytes_vnni_begin(w, form, unit);
  for (size_t k = 0; k < unit; k += once) {
    __m512i v[8], operand[2];
    const int half = unit - k < once;
    bytes_vnni_turn(w->at + k / each, w->apart, half, v);
    for (size_t c = 0; c < (half ? 4 : 8); c++) {
      bytes_vnni_operands(v[c], form, w->table, operand);
      for (size_t i = 0; i < each; i++, tile += 64)
        _mm512_store_si512(tile, operand[i]);
    }
  }
}

/* What is kept by a panel of m rows, those that are there added to out. */
LQI_INLINE LQI_AVX512VBMI void bytes_vnni_panel(const struct bytes_vnni_kept *w,
                                                const struct lqi_byte_x *from, size_t m,
                                                size_t there, float *out, size_t stride)
{
  struct lqi_byte_x x = *from;
  __m512 sum[LQI_BYTE_PANEL];
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    sum[j] = j < there ? _mm512_loadu_ps(out + j * stride) : _mm512_setzero_ps();
  for (size_t u = 0; u < w->units; u++, x.t += m, x.minus += m) {
    bytes_vnni_t whole[LQI_BYTE_PANEL];
    const uint8_t *tile = w->tile[u];
    bytes_vnni_zero(&x, m, _mm512_load_si512(w->z[u]), whole);
    for (const uint8_t *end = tile + x.unit * LQI_BYTE_ROWS; tile < end; tile += 64, x.q += 4 * m)
      bytes_vnni_step(_mm512_load_si512(tile), x.q, m, whole);
    const __m512 f = _mm512_load_ps(w->f[u]);
    X86_UNROLL
    for (size_t j = 0; j < m; j++)
      sum[j] = bytes_vnni_fold(whole[j], f, x.t[j], sum[j]);
  }
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    if (j < there)
      _mm512_storeu_ps(out + j * stride, sum[j]);
}

/* x: from the first unit that is kept. */
static LQI_AVX512VBMI void bytes_vnni_panels(const struct bytes_vnni_kept *w,
                                             const struct lqi_byte_x *x, size_t m, float *out,
                                             size_t stride)
{
  for (size_t p = 0; p * x->rows < m; p++, out += x->rows * stride) {
    const struct lqi_byte_x panel = bytes_panel(x, p);
    const size_t left = m - p * x->rows;
    if (x->rows == LQI_BYTE_PANEL)
      bytes_vnni_panel(w, &panel, LQI_BYTE_PANEL, left, out, stride);
    else if (x->rows == 8)
      bytes_vnni_panel(w, &panel, 8, left, out, stride);
    else if (x->rows == 4)
      bytes_vnni_panel(w, &panel, 4, left, out, stride);
    else
      bytes_vnni_panel(w, &panel, 1, left, out, stride);
  }
}

/* ---- A strip ---- */

/*
 * Rows that follow come from memory: each unit of a strip asks for its share of the next one, which
 * lies behind it. A quarter each from four places, as a processor reads ahead in several pages at
 * once: 14 GB/s on a Sapphire Rapids, where from one place it was 12.
 */
LQI_INLINE LQI_AVX512VBMI const uint8_t *bytes_vnni_ahead(const uint8_t *ahead, size_t strip,
                                                          size_t share)
{
  for (size_t s = 0; s < 4; s++)
    for (size_t i = 0; i < share; i += 64)
      _mm_prefetch((const char *)ahead + s * (strip / 4) + i, _MM_HINT_T1);
  return ahead + share;
}

/* Grids of eight groups, or of four with zero points. */
LQI_INLINE LQI_AVX512VBMI void bytes_vnni_grids(const struct lqi_strip *w, size_t rows, size_t g,
                                                size_t groups, float *to)
{
  const size_t numbers = w->numbers, left = (groups - g) * numbers;
  const float *from = w->grid + g * numbers;
  if (rows == LQI_BYTE_ROWS && left >= 8) {
    __m512i v[8];
    bytes_vnni_turn((const uint8_t *)from, w->grid_step * sizeof *from, 0, v);
    X86_UNROLL
    for (size_t i = 0; i < 8; i++)
      _mm512_store_si512(to + i * LQI_BYTE_ROWS, v[i]);
    return;
  }
  lqi_transpose_f32_avx2(from, w->grid_step, rows, left < 8 ? left : 8, to, LQI_BYTE_ROWS);
}

/* 16 rows, or the last ones. m: rows of the only panel, sums in registers; 0: more panels. A
 * constant, as is the form. */
LQI_INLINE LQI_AVX512VBMI void bytes_vnni_strip(const struct lqi_strip *w,
                                                struct bytes_vnni_unit *unit, float step,
                                                const struct lqi_byte_x *x, size_t m, size_t there,
                                                float *out, size_t stride, int form)
{
  const size_t groups = x->n / w->group, numbers = w->numbers;
  const size_t bytes = x->unit / 8 * lqi_form_bits(form), strip = LQI_BYTE_ROWS * w->row_bytes;
  const uint8_t *ahead = w->codes + strip;
  struct lqi_byte_x at = *x, first = *x;
  struct bytes_vnni_kept kept;
  _Alignas(64) float grids[8 * LQI_BYTE_ROWS];
  __m512 sum[LQI_BYTE_PANEL];
  kept.units = 0;
  for (size_t j = 0; j < there && m == 0; j++)
    _mm512_storeu_ps(out + j * stride, _mm512_setzero_ps());
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    sum[j] = _mm512_setzero_ps();
  for (size_t g = 0; g < groups; g++) {
    const float *grid = grids + g * numbers % 8 * LQI_BYTE_ROWS;
    if (grid == grids)
      bytes_vnni_grids(w, unit->rows, g, groups, grids);
    unit->f = _mm512_mul_ps(_mm512_load_ps(grid), _mm512_set1_ps(step));
    unit->z = numbers == 2 ? _mm512_cvtps_epi32(_mm512_load_ps(grid + LQI_BYTE_ROWS))
                           : _mm512_set1_epi32(128);
    for (size_t k = 0; k < w->group; k += x->unit) {
      ahead = bytes_vnni_ahead(ahead, strip, LQI_BYTE_ROWS * bytes / 4);
      if (m != 0)
        bytes_vnni_direct(unit, form, &at, m, sum);
      else
        bytes_vnni_keep(unit, form, x->unit, &kept);
      unit->codes += bytes;
      at.q += x->unit * x->rows, at.t += x->rows, at.minus += x->rows;
      if (m == 0 &&
          (kept.units == BYTES_VNNI_KEPT || (g + 1 == groups && k + x->unit == w->group))) {
        bytes_vnni_panels(&kept, &first, there, out, stride);
        kept.units = 0;
        first = at;
      }
    }
  }
  X86_UNROLL
  for (size_t j = 0; j < m; j++)
    if (j < there)
      _mm512_storeu_ps(out + j * stride, sum[j]);
}

LQI_INLINE LQI_AVX512VBMI void bytes_vnni(const struct lqi_strip *w, size_t rows, float step,
                                          const struct lqi_byte_x *x, size_t m, size_t there,
                                          float *out, size_t stride, int form)
{
  struct bytes_vnni_unit unit;
  uint8_t table[16];
  bytes_table(w, form, table);
  unit.table = _mm512_broadcast_i32x4(_mm_loadu_si128((const void *)table));
  unit.row_bytes = w->row_bytes;
  for (size_t r = 0; r < rows; r += LQI_BYTE_ROWS) {
    const struct lqi_strip strip = bytes_from(w, r);
    unit.codes = strip.codes;
    unit.rows = rows - r < LQI_BYTE_ROWS ? rows - r : LQI_BYTE_ROWS;
    if (unit.rows < LQI_BYTE_ROWS)
      memset(unit.copy, 0, sizeof unit.copy);
    bytes_vnni_strip(&strip, &unit, step, x, m, there, out + r, stride, form);
  }
}

#define BYTES_VNNI(name, form) \
  LQI_AVX512VBMI void lqi_byte_dots_##name##_avx512vbmi(const struct lqi_strip *w, size_t rows, \
                                                        float step, const struct lqi_byte_x *x, \
                                                        size_t m, float *out, size_t stride) \
  { \
    if (m > x->rows) \
      bytes_vnni(w, rows, step, x, 0, m, out, stride, form); \
    else if (x->rows == 1) \
      bytes_vnni(w, rows, step, x, 1, m, out, stride, form); \
    else if (x->rows == 4) \
      bytes_vnni(w, rows, step, x, 4, m, out, stride, form); \
    else if (x->rows == 8) \
      bytes_vnni(w, rows, step, x, 8, m, out, stride, form); \
    else \
      bytes_vnni(w, rows, step, x, LQI_BYTE_PANEL, m, out, stride, form); \
  }

BYTES_VNNI(book4, LQI_FORM_BOOK4)
BYTES_VNNI(low4, LQI_FORM_LOW4)
BYTES_VNNI(low3, LQI_FORM_LOW3)
BYTES_VNNI(low2, LQI_FORM_LOW2)
BYTES_VNNI(u8, LQI_FORM_U8)
BYTES_VNNI(i8, LQI_FORM_I8)

#endif
