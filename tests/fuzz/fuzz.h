/*
 * fuzz.h - what the fuzz targets share: a reader of the input's bytes, a scratch file for parsers
 * that take a path, a weight and the options of a quantizer made from bytes.
 *
 * Owns: the scratch file. Must not know: what a target looks for, nor which fuzzer runs it.
 *
 * A target is one file with LLVMFuzzerTestOneInput, which ends with `return fuzz_end();`: a CHECK
 * that failed before is printed and becomes a crash there. Every input is a valid one; a target
 * reads zeros past the end, and its work is bounded whatever the bytes say.
 */
#ifndef TESTS_FUZZ_H
#define TESTS_FUZZ_H

#include "../helpers.h"

#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline int fuzz_end(void)
{
  if (test_failures != 0)
    abort();
  return 0;
}

/* ---- bytes ---- */

typedef struct fuzz_in {
  const uint8_t *at;
  size_t left;
} fuzz_in;

static inline void fuzz_take(fuzz_in *in, void *to, size_t count)
{
  size_t n = count < in->left ? count : in->left;
  if (n != 0)
    memcpy(to, in->at, n);
  memset((char *)to + n, 0, count - n);
  in->at += n;
  in->left -= n;
}

static inline uint32_t fuzz_u8(fuzz_in *in)
{
  uint8_t b;
  fuzz_take(in, &b, 1);
  return b;
}

static inline uint32_t fuzz_u16(fuzz_in *in)
{
  uint32_t low = fuzz_u8(in);
  return low | fuzz_u8(in) << 8;
}

static inline uint64_t fuzz_u64(fuzz_in *in)
{
  uint64_t v = 0;
  for (int i = 0; i < 64; i += 8)
    v |= (uint64_t)fuzz_u8(in) << i;
  return v;
}

/* 0 <= result < n <= 256 */
static inline uint32_t fuzz_below(fuzz_in *in, uint32_t n)
{
  return fuzz_u8(in) % n;
}

/* The bytes up to the next `end`, which is taken too, or to the end of the input; cut to fit. */
static inline size_t fuzz_text(fuzz_in *in, uint8_t end, char *to, size_t room)
{
  size_t n = 0;
  while (in->left != 0) {
    uint8_t c = (uint8_t)fuzz_u8(in);
    if (c == end)
      break;
    if (n + 1 < room)
      to[n++] = (char)c;
  }
  to[n] = 0;
  return n;
}

/* The rest in a block of its own with a NUL behind, as parsers take it over. */
static inline char *fuzz_rest(const fuzz_in *in)
{
  char *text = test_alloc(in->left + 1);
  if (in->left != 0)
    memcpy(text, in->at, in->left);
  return text;
}

/* ---- a file ---- */

static char fuzz_scratch[512];

static inline void fuzz_remove_scratch(void)
{
  unlink(fuzz_scratch);
}

/* A path, always the same, of a file that holds these bytes. In memory where the system offers it:
 * most of what a target does is to write it. */
static inline const char *fuzz_file(const uint8_t *data, size_t size)
{
  const char *top = getenv("TMPDIR");
  int fd;
  if (fuzz_scratch[0] == 0) {
    if (top == NULL || *top == 0)
      top = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
    snprintf(fuzz_scratch, sizeof fuzz_scratch, "%.400s/quant-fuzz-XXXXXX", top);
    fd = mkstemp(fuzz_scratch);
    atexit(fuzz_remove_scratch);
  } else {
    fd = open(fuzz_scratch, O_RDWR | O_CREAT | O_TRUNC, 0600);
  }
  if (fd < 0 || write(fd, data, size) != (ssize_t)size || close(fd) != 0) {
    printf("cannot write %s\n", fuzz_scratch);
    exit(2);
  }
  return fuzz_scratch;
}

/* ---- options and weights ---- */

static inline const char *fuzz_word(fuzz_in *in, const char *const *words, uint32_t count)
{
  return words[fuzz_below(in, count)];
}

/* Options of a quantizer that encodes by itself, not all of which go together. */
static inline void fuzz_options(fuzz_in *in, char out[128])
{
  static const char *const methods[] = {"none", "nf4", "fp4", "int8", "dynamic8", "affine"};
  static const char *const blocks[] = {"", "block_size=16", "block_size=64", "block_size=128"};
  static const char *const nested[] = {"", "", "nested=1", "nested=1 nested_block_size=16"};
  static const char *const bits[] = {"bits=2", "bits=3", "bits=4", "bits=8"};
  static const char *const groups[] = {"group_size=8", "group_size=32", "group_size=64",
                                       "group_size=-1"};
  static const char *const kinds[] = {"", "symmetric=0", "mse=2.4", "symmetric=0 compat=gptq"};
  static const char *const outliers[] = {"", "threshold=2", "compat=bitsandbytes-cpu",
                                         "threshold=0.5"};
  const char *method = fuzz_word(in, methods, 6), *a = "", *b = "", *c = "";
  if (method[0] == 'a') {
    a = fuzz_word(in, bits, 4);
    b = fuzz_word(in, groups, 4);
    c = fuzz_word(in, kinds, 4);
  } else if (method[0] == 'i') {
    a = fuzz_word(in, outliers, 4);
  } else if (method[1] != 'o') {
    a = fuzz_word(in, blocks, 4);
    b = fuzz_word(in, nested, 4);
  }
  snprintf(out, 128, "method=%s %s %s %s threads=1", method, a, b, c);
}

/* A dense tensor of at most 24 rows and `most` columns, a multiple of 32 below 257. Half of the
 * inputs give its bits, over and over; the others small numbers, and bits here and there. NULL when
 * there is no memory. */
static inline lq_tensor *fuzz_weight(fuzz_in *in, uint32_t most)
{
  uint32_t kind = fuzz_u8(in), rows = 1 + fuzz_below(in, 24), columns = 1 + fuzz_below(in, most);
  int32_t dtype = (int32_t)(1 + kind / 2 % 3);
  uint64_t dims[2] = {rows, kind & 8 ? (columns + 31) / 32 * 32 : columns}, seed = fuzz_u8(in);
  size_t n = (size_t)(dims[0] * dims[1]), size = element_size(dtype);
  lq_tensor *t = NULL;
  if (!CHECK(lq_tensor_create(NULL, dtype, 2, dims, &t) == LQ_OK, "tensor_create"))
    return NULL;
  char *data = lq_tensor_data(t);
  if (kind & 1) {
    for (size_t i = 0; i < n * size && in->left != 0; i++)
      data[i] = (char)in->at[i % in->left];
    return t;
  }
  for (size_t i = 0; i < n; i++) {
    float x = rng_normal(&seed);
    uint16_t h = dtype == LQ_F32 ? 0 : half_bits(x, dtype);
    memcpy(data + i * size, dtype == LQ_F32 ? (void *)&x : (void *)&h, size);
  }
  for (int i = 0; i < 16 && in->left != 0; i++) {
    size_t at = fuzz_u16(in) % n;
    fuzz_take(in, data + at * size, size);
  }
  return t;
}

/* A quantized copy, or NULL: the options do not go together, or the weight is not finite. */
static inline lq_tensor *fuzz_quantize(const lq_tensor *dense, const char *options)
{
  lq_config *config = new_config(options);
  lq_quantizer *quantizer = NULL;
  lq_tensor *t = NULL;
  lq_status s = lq_quantizer_create(config, &quantizer);
  CHECK((s == LQ_OK) == !*lq_config_error_text(config), "%s: %d without a text", options, s);
  if (s == LQ_OK) {
    s = lq_quantizer_run(quantizer, dense, &t);
    CHECK((s == LQ_OK) == (t != NULL), "%s: %d", options, s);
    CHECK((s == LQ_OK) == !*lq_quantizer_error_text(quantizer), "%s: %d without a text", options,
          s);
  }
  lq_quantizer_destroy(quantizer);
  lq_config_destroy(config);
  return t;
}

#endif
