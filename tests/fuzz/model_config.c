/* model_config.c - fuzz target: config.json as hyper-parameters and as what was quantized. */
#include "fuzz.h"

#include "../../src/commands/hfconfig.h"
#include "../../src/model/spec.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  static spec s;
  fuzz_in in = {data, size};
  fail why = {0};
  json_doc *d = NULL;
  buf text = {0};
  char method[32];
  bool restorable;
  if (json_parse(&d, fuzz_rest(&in), size, "fuzz", 0, &why)) {
    if (spec_read(&s, d, &why)) {
      CHECK(s.layers <= SPEC_LAYERS_MAX && s.heads > 0 && s.kv_heads > 0, "layers, heads");
      for (uint64_t i = 0; i < s.layers; i++)
        CHECK(spec_score_scale(&s, i) > 0 && spec_score_scale(&s, i) <= 1,
              "layer %llu, window %llu", (unsigned long long)i,
              (unsigned long long)spec_window(&s, i));
    } else {
      CHECK(why.text[0] != 0, "no reason");
    }
    hf_quantized(d, method, &restorable);
    for (int32_t layout = LQ_LAYOUT_NATIVE; layout <= LQ_LAYOUT_AWQ; layout++)
      (void)hf_check_layout(d, layout, &why);
    hf_remove_quantization(d);
    if (json_kind_of(d, json_root(d)) == JSON_OBJECT) {
      hf_put_dtype(d, LQ_BF16);
      CHECK(hf_dtype(d) == LQ_BF16 && !hf_quantized(d, method, &restorable), "put");
    }
    CHECK(json_write(d, &text, true, &why), "%s", why.text);
  }
  buf_free(&text);
  json_free(d);
  return fuzz_end();
}
