/* network.c - see network.h. */
#include "network.h"

#include "../files/io.h"
#include "../model/gguf_llama.h"
#include "../ui/progress.h"
#include "hfconfig.h"

#include <stdlib.h>
#include <string.h>

/* Weights in a layout that is not read would look as if they were missing. */
static bool check_method(const model *m, fail *why)
{
  const json_doc *config = model_config(m);
  char method[32];
  bool known;

  if (config && hf_quantized(config, method, &known) && !known)
    return fail_set(why, FAIL_UNSUPPORTED, model_path(m),
                    "is quantized with %s, which quant does not read", method);
  return true;
}

bool network_open(network *out, const char *path, pool *memory, team *workers, fail *why)
{
  *out = (network){0};
  if (model_open(&out->from, path, why) &&
      (!model_gguf(out->from) || gguf_as_folder(out->from, why)) && check_method(out->from, why) &&
      weight_list_make(&out->weights, out->from, why) &&
      net_open(&out->net, &out->weights, memory, workers, why))
    return true;
  network_close(out);
  return false;
}

static void layer_loaded(void *bar, uint64_t bytes)
{
  progress_add(bar, bytes);
}

bool network_load(network *n, bool quiet, fail *why)
{
  progress bar;
  bool ok;

  progress_start(&bar, "loading", model_data_bytes(n->from), quiet);
  progress_item(&bar, model_path(n->from));
  progress_add(&bar, net_memory(n->net));
  ok = net_load_layers(n->net, layer_loaded, &bar, why);
  progress_finish(&bar);
  return ok;
}

void network_close(network *n)
{
  net_close(n->net);
  weight_list_free(&n->weights);
  model_close(n->from);
  *n = (network){0};
}

bool network_tokenizer(tokenizer **out, const model *a, const model *b, fail *why)
{
  static const char name[] = "tokenizer.json";
  const model *in[2] = {a, b};

  *out = NULL;
  for (size_t i = 0; i < 2 && in[i]; i++) {
    sys_info info;
    char *file;
    bool ok;

    if (model_gguf(in[i]))
      return gguf_tokenizer(out, model_gguf(in[i]), why);
    if (!sys_look(&info, model_folder(in[i]), name, true))
      continue;
    file = io_join(model_path(in[i]), name);
    if (!file)
      return fail_memory(why, model_path(in[i]));
    ok = tokenizer_open(out, model_folder(in[i]), name, file, why);
    free(file);
    return ok;
  }
  return fail_set(why, FAIL_NOTFOUND, model_path(a), "there is no tokenizer.json%s",
                  b ? ", nor with the base" : "");
}
