/* safetensors_open.c - fuzz target: any bytes as a safetensors file; an accepted one is read. */
#include "fuzz.h"

#include "../../src/files/safetensors.h"

static void read_tensor(const st_file *f, const st_tensor *t)
{
  char *bytes = test_alloc((size_t)t->bytes);
  fail why = {0};
  st_tensor again = *t;
  CHECK(st_find(f, t->name) == t, "\"%.100s\" is not found", t->name);
  CHECK(st_measure(&again, &why) && again.bytes == t->bytes, "%s", why.text);
  CHECK(st_read(f, t, 0, bytes, (size_t)t->bytes, &why), "%s", why.text);
  CHECK(!st_read(f, t, t->bytes, bytes, 1, &why) || t->bytes == UINT64_MAX, "read past its end");
  free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fail why = {0};
  st_file *f = NULL;
  st_stamp stamp;
  if (st_open(&f, fuzz_file(data, size), &why)) {
    uint64_t sum = 0;
    CHECK(st_file_bytes(f) == size && st_data_offset(f) <= size, "sizes");
    for (size_t i = 0; i < st_count(f); i++) {
      read_tensor(f, st_at(f, i));
      sum += st_at(f, i)->bytes;
    }
    CHECK(sum == size - st_data_offset(f), "tensors do not fill the file");
    for (size_t i = 0; i < st_metadata_count(f); i++) {
      const char *key, *value;
      CHECK(!st_metadata_at(f, i, &key, &value) || st_metadata(f, key) == value, "metadata");
    }
    CHECK(st_stamp_of(f, &stamp, &why), "%s", why.text);
  } else {
    CHECK(why.kind != FAIL_NONE && why.text[0] != 0, "no reason");
  }
  st_close(f);
  return fuzz_end();
}
