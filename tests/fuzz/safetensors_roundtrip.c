/*
 * safetensors_roundtrip.c - fuzz target: an accepted safetensors file written again is accepted,
 * holds the same, and written once more is the same file.
 */
#include "fuzz.h"

#include "../../src/files/safetensors.h"

enum { PAIRS = 16 };

static bool write_again(const st_file *f, const char *path, fail *why)
{
  st_pair pairs[PAIRS];
  size_t count = st_count(f), known = 0;
  st_tensor *tensors = test_alloc((count + 1) * sizeof *tensors);
  st_writer *w = NULL;
  out_file *out = NULL;
  for (size_t i = 0; i < count; i++)
    tensors[i] = *st_at(f, i);
  for (size_t i = 0; i < st_metadata_count(f) && known < PAIRS; i++)
    if (st_metadata_at(f, i, &pairs[known].key, &pairs[known].value) && pairs[known].value != NULL)
      known++;
  bool ok = st_writer_plan(&w, tensors, count, pairs, known, path, why) &&
            out_file_create(&out, path, true, why) && st_writer_start(w, out, why);
  for (size_t i = 0; ok && i < count; i++) {
    char *bytes = test_alloc((size_t)tensors[i].bytes);
    ok = st_read(f, &tensors[i], 0, bytes, (size_t)tensors[i].bytes, why) &&
         st_writer_write(w, i, 0, bytes, (size_t)tensors[i].bytes, why);
    free(bytes);
  }
  ok = ok && st_writer_finish(w, why) && out_file_commit(&out, why);
  out_file_abort(out);
  st_writer_free(w);
  free(tensors);
  return ok;
}

static void compare(const st_file *f, const st_file *g)
{
  fail why = {0};
  CHECK(st_count(f) == st_count(g), "%zu and %zu tensors", st_count(f), st_count(g));
  for (size_t i = 0; i < st_count(f); i++) {
    const st_tensor *t = st_at(f, i), *u = st_find(g, t->name);
    if (!CHECK(u != NULL && u->bytes == t->bytes && u->dtype == t->dtype && u->ndim == t->ndim &&
                   memcmp(u->shape, t->shape, t->ndim * sizeof *t->shape) == 0,
               "tensor \"%.100s\"", t->name))
      return;
    size_t n = (size_t)t->bytes;
    char *x = test_alloc(n), *y = test_alloc(n);
    CHECK(st_read(f, t, 0, x, n, &why) && st_read(g, u, 0, y, n, &why) && memcmp(x, y, n) == 0,
          "data of \"%.100s\"", t->name);
    free(x);
    free(y);
  }
}

/* The file at `path`, written once more, opened. */
static st_file *reopened(const st_file *f, const char *path)
{
  fail why = {0};
  st_file *g = NULL;
  if (CHECK(write_again(f, path, &why), "%s", why.text))
    CHECK(st_open(&g, path, &why), "%s", why.text);
  return g;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fail why = {0};
  st_file *f = NULL, *g = NULL, *h = NULL;
  const char *path = fuzz_file(data, size);
  st_stamp a, b;
  if (st_open(&f, path, &why) && (g = reopened(f, path)) != NULL) {
    compare(f, g);
    if ((h = reopened(g, path)) != NULL)
      CHECK(st_stamp_of(g, &a, &why) && st_stamp_of(h, &b, &why) && a.bytes == b.bytes &&
                strcmp(a.header, b.header) == 0,
            "other bytes the second time");
  }
  st_close(f);
  st_close(g);
  st_close(h);
  return fuzz_end();
}
