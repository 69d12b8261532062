/*
 * test_planes_text.c - proves what is read from the JSON text of a quantized tensor, and what is
 * refused.
 *
 * The quant_state of bitsandbytes: any order of members, any white space, unknown members; broken
 * JSON, absurd sizes, sizes that contradict the planes, members given twice. Deep nesting takes
 * neither stack nor time.
 */
#include "planes.h"

static lq_status load_text(struct parts *s, const char *text, size_t n, int with_dims)
{
  lq_plane *p =
      part(s, s->layout == LQ_LAYOUT_NATIVE ? "meta" : "weight.quant_state.bitsandbytes__nf4");
  lq_plane keep = *p;
  lq_tensor *t;
  char *copy = test_alloc(n);
  memcpy(copy, text, n);
  p->data = copy;
  p->bytes = p->dims[0] = n;
  lq_status st = load(s, "", with_dims, 0, &t);
  if (st == LQ_OK) {
    if (tensor_elements(t) == ROWS * COLUMNS)
      free(decode(t, LQ_F32));
    lq_tensor_destroy(t);
  }
  *p = keep;
  free(copy);
  return st;
}

struct text_case {
  lq_status want;
  const char *text;
};

static const struct text_case state_cases[] = {
    {LQ_OK,
     "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [33, 70]}"},
    {LQ_OK, " {\n\"shape\" :[33,70] "
            ",\t\"dtype\":\"float16\",\"blocksize\":64,\"quant_type\":\"nf4\"} \r\n"},
    {LQ_OK, "{\"a\": {\"b\": [1, {\"c\": \"}]\\\"\"}], \"blocksize\": 7}, \"quant_type\": "
            "\"nf4\", \"blocksize\": 64, "
            "\"dtype\": \"bfloat16\", \"shape\": [33, 70], \"z\": null, \"y\": -1.5e3, \"x\": "
            "[], \"w\": {}, \"v\": true}"},
    {LQ_OK,
     "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": null}"},
    {LQ_OK, "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\"}"},
    {LQ_E_LAYOUT, ""},
    {LQ_E_LAYOUT, "{}"},
    {LQ_E_LAYOUT, "null"},
    {LQ_E_LAYOUT, "[]"},
    {LQ_E_LAYOUT, "{"},
    {LQ_E_LAYOUT, "{\"a\\"},
    {LQ_E_LAYOUT, "{\"a\":\"\\"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 64+, \"dtype\": \"float32\"}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 64E, \"dtype\": \"float32\"}"},
    {LQ_E_LAYOUT,
     "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [33, 70]"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", "
                  "\"shape\": [33, 70]}}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", "
                  "\"shape\": [33, 70]} x"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", "
                  "\"shape\": [33, 70],}"},
    {LQ_E_LAYOUT,
     "{\"quant_type\": \"nf4\" \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [33, 70]}"},
    {LQ_E_LAYOUT,
     "{\"quant_type\": \"fp4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [33, 70]}"},
    {LQ_E_LAYOUT,
     "{\"quant_type\": \"nf4\", \"blocksize\": 0, \"dtype\": \"float32\", \"shape\": [33, 70]}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": -64, \"dtype\": \"float32\", "
                  "\"shape\": [33, 70]}"},
    {LQ_E_LAYOUT,
     "{\"quant_type\": \"nf4\", \"blocksize\": 63, \"dtype\": \"float32\", \"shape\": [33, 70]}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 128, \"dtype\": \"float32\", "
                  "\"shape\": [33, 70]}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": \"64\", \"dtype\": \"float32\", "
                  "\"shape\": [33, 70]}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 64.0, \"dtype\": \"float32\", "
                  "\"shape\": [33, 70]}"},
    {LQ_E_LAYOUT,
     "{\"quant_type\": \"nf4\", \"blocksize\": 18446744073709551680, \"dtype\": \"float32\"}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 4294967360, \"dtype\": \"float32\", "
                  "\"shape\": [33, 70]}"},
    {LQ_E_LAYOUT,
     "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"blocksize\": 64, \"dtype\": \"float32\"}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", "
                  "\"dtype\": \"float16\"}"},
    {LQ_E_LAYOUT,
     "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float64\", \"shape\": [33, 70]}"},
    {LQ_E_LAYOUT,
     "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float3\", \"shape\": [33, 70]}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"shape\": [33, 70]}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"dtype\": \"float32\", \"shape\": [33, 70]}"},
    {LQ_E_LAYOUT, "{\"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [33, 70]}"},
    {LQ_E_LAYOUT,
     "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [70, 33]}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", "
                  "\"shape\": [-33, -70]}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", "
                  "\"shape\": [33.0, 70]}"},
    {LQ_E_LAYOUT,
     "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [33 70]}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", "
                  "\"shape\": [33, 70,]}"},
    {LQ_E_LAYOUT,
     "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": 2310}"},
    {LQ_E_LAYOUT,
     "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": []}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": "
                  "[9223372036854775808, 9223372036854775808]}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": "
                  "[18446744073709551615, 4]}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": "
                  "[18446744073709551649, 70]}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": "
                  "[1, 1, 1, 1, 1, 1, 1, 33, 70]}"},
    {LQ_E_LAYOUT,
     "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [33, 70], "
     "\"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": 0.1}"},
    {LQ_E_LAYOUT, "{\"quant_type\": \"nf4\\u0000\", \"blocksize\": 64, \"dtype\": \"float32\", "
                  "\"shape\": [33, 70]}"},
};

static void test_state_text(void)
{
  struct parts s = parts_of("method=nf4", LQ_LAYOUT_BITSANDBYTES);
  for (size_t i = 0; i < sizeof state_cases / sizeof *state_cases; i++) {
    test_in("text %.200s", state_cases[i].text);
    lq_status st = load_text(&s, state_cases[i].text, strlen(state_cases[i].text), 1);
    CHECK(st == state_cases[i].want, "status %d, not %d", st, state_cases[i].want);
  }
  test_in("text");
  CHECK(load_text(&s, state_cases[0].text, strlen(state_cases[0].text) + 1, 1) == LQ_E_LAYOUT,
        "a NUL after the text");
  const char *no_shape =
      "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": null}";
  CHECK(load_text(&s, no_shape, strlen(no_shape), 0) == LQ_E_LAYOUT, "no shape anywhere");
  free_parts(&s);
}

static void test_nested_text(void)
{
  static const struct text_case cases[] = {
      {LQ_OK, "\"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": 0.5}"},
      {LQ_OK, "\"nested_offset\": -5e-1, \"nested_blocksize\": 256}"},
      {LQ_OK, "\"nested_offset\": 1, \"nested_blocksize\": 256}"},
      {LQ_OK, "\"nested_offset\": 5E+0, \"nested_blocksize\": 256}"},
      {LQ_E_UNSUPPORTED,
       "\"nested_blocksize\": 256, \"nested_dtype\": \"float16\", \"nested_offset\": 0.5}"},
      {LQ_E_LAYOUT, "\"nested_blocksize\": 256, \"nested_dtype\": \"float32\"}"},
      {LQ_E_LAYOUT, "\"nested_dtype\": \"float32\", \"nested_offset\": 0.5}"},
      {LQ_E_LAYOUT,
       "\"nested_blocksize\": 0, \"nested_dtype\": \"float32\", \"nested_offset\": 0.5}"},
      {LQ_E_LAYOUT,
       "\"nested_blocksize\": 8, \"nested_dtype\": \"float32\", \"nested_offset\": 0.5}"},
      {LQ_E_LAYOUT,
       "\"nested_blocksize\": 4294967552, \"nested_dtype\": \"float32\", \"nested_offset\": 0.5}"},
      {LQ_E_LAYOUT,
       "\"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": \"0.5\"}"},
      {LQ_E_NONFINITE,
       "\"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": NaN}"},
      {LQ_E_NONFINITE, "\"nested_blocksize\": 256, \"nested_offset\": -Infinity}"},
      {LQ_E_NONFINITE, "\"nested_blocksize\": 256, \"nested_offset\": Infinity}"},
      {LQ_E_LAYOUT, "\"nested_blocksize\": 18446744073709551616, \"nested_offset\": 0}"},
      {LQ_E_LAYOUT, "\"nested_blocksize\": 99999999999999999999, \"nested_offset\": 0}"},
      {LQ_E_LAYOUT,
       "\"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": .5}"},
      {LQ_E_LAYOUT,
       "\"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": }"},
      {LQ_E_NONFINITE,
       "\"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": 1e39}"},
      {LQ_E_NONFINITE,
       "\"nested_blocksize\": 256, \"nested_dtype\": \"float32\", \"nested_offset\": -1e999}"},
  };
  char text[512];
  struct parts s = parts_of("method=nf4 nested=1", LQ_LAYOUT_BITSANDBYTES);
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    test_in("nested text %s", cases[i].text);
    snprintf(text, sizeof text,
             "{\"quant_type\": \"nf4\", \"blocksize\": 64, \"dtype\": \"float32\", \"shape\": [33, "
             "70], %s",
             cases[i].text);
    lq_status st = load_text(&s, text, strlen(text), 1);
    CHECK(st == cases[i].want, "status %d, not %d", st, cases[i].want);
  }
  free_parts(&s);
}

/* Our own text with another method in it: none whose planes these could be, and one that has none
 * of its own. */
static void test_native_text(void)
{
  static const char *const names[] = {"none", "ggml", "gptq", "", "int9"};
  static const lq_status want[] = {LQ_E_LAYOUT, LQ_E_LAYOUT, LQ_E_UNSUPPORTED, LQ_E_UNSUPPORTED,
                                   LQ_E_UNSUPPORTED};
  struct parts s = parts_of("method=nf4", LQ_LAYOUT_NATIVE);
  for (int i = 0; i < 5; i++) {
    char text[256];
    test_in("native text, method %s", names[i]);
    snprintf(text, sizeof text,
             "{\"libquant\": 1, \"method\": \"%s\", \"dtype\": \"float32\", \"shape\": [33, 70], "
             "\"block_size\": 64, \"block_type\": 2}",
             names[i]);
    lq_status st = load_text(&s, text, strlen(text), 1);
    CHECK(st == want[i], "status %d, not %d", st, want[i]);
  }
  free_parts(&s);
}

/* Brackets a hundred thousand deep and strings without end take no stack and no time. */
static void test_deep_text(void)
{
  const size_t n = 100000;
  char *text = test_alloc(n + 64);
  struct parts s = parts_of("method=nf4", LQ_LAYOUT_BITSANDBYTES);
  static const char *const fills[] = {"[", "{", "]", "[{", "\"", "\\", "{\"a\":", "9", "0,", " "};
  test_in("deep text");
  for (size_t k = 0; k < sizeof fills / sizeof *fills; k++) {
    size_t length = strlen(fills[k]), at = (size_t)sprintf(text, "{\"a\": ");
    while (at + length < n) {
      memcpy(text + at, fills[k], length);
      at += length;
    }
    CHECK(load_text(&s, text, at, 1) == LQ_E_LAYOUT, "many %s", fills[k]);
  }
  free(text);
  free_parts(&s);
}

int main(void)
{
  fill_weights();
  test_state_text();
  test_nested_text();
  test_native_text();
  test_deep_text();
  return test_end();
}
