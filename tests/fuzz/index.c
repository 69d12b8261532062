/* index.c - fuzz target: a shard index, read, looked up, written and read again. */
#include "fuzz.h"

#include "../../src/files/shard_index.h"

static void check_entries(const shard_index *x)
{
  size_t n = index_count(x);
  for (size_t i = 0; i < n; i++) {
    const index_entry *e = index_at(x, i);
    CHECK(index_find(x, e->tensor) == e, "\"%.100s\" is not found", e->tensor);
    CHECK(strpbrk(e->shard, "/\\:") == NULL && strcmp(e->shard, "..") != 0, "%s", e->shard);
  }
  for (size_t i = 1; i < index_shard_count(x); i++)
    CHECK(strcmp(index_shard(x, i - 1), index_shard(x, i)) < 0, "shards not sorted");
}

static void check_again(const shard_index *x)
{
  fail why = {0};
  buf text = {0};
  shard_index *y = NULL;
  size_t n = index_count(x);
  index_entry *entries = test_alloc((n + 1) * sizeof *entries);
  for (size_t i = 0; i < n; i++)
    entries[i] = *index_at(x, n - 1 - i);
  if (CHECK(index_write(&text, entries, n, 1, 2, &why), "%s", why.text)) {
    const char *path = fuzz_file((const uint8_t *)text.data, text.length);
    if (CHECK(index_read(&y, AT_FDCWD, path, path, &why), "%s", why.text)) {
      CHECK(index_count(y) == n && index_shard_count(y) == index_shard_count(x), "counts");
      for (size_t i = 0; i < n && i < index_count(y); i++)
        CHECK(strcmp(index_at(x, i)->tensor, index_at(y, i)->tensor) == 0 &&
                  strcmp(index_at(x, i)->shard, index_at(y, i)->shard) == 0,
              "entry %zu", i);
    }
  }
  index_free(y);
  buf_free(&text);
  free(entries);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fail why = {0};
  shard_index *x = NULL;
  const char *path = fuzz_file(data, size);
  if (index_read(&x, AT_FDCWD, path, path, &why)) {
    check_entries(x);
    check_again(x);
  } else {
    CHECK(why.kind != FAIL_NONE && why.text[0] != 0, "no reason");
  }
  index_free(x);
  return fuzz_end();
}
