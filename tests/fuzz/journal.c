/*
 * journal.c - fuzz target: any bytes as a journal. One that opens takes a record, and has its old
 * ones and that one when it is opened again.
 */
#include "fuzz.h"

#include "../../src/files/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
  fail why = {0};
  journal *j = NULL, *k = NULL;
  buf text = {0};
  const char *path = fuzz_file(data, size);
  buf_text(&text, "one more");
  if (journal_open(&j, path, false, &why)) {
    size_t n = journal_count(j), length, other;
    CHECK(!journal_open(&k, path, false, &why) && why.kind == FAIL_EXISTS, "opened twice");
    CHECK(journal_add(j, &text, &why), "%s", why.text);
    journal_close(j);
    if (!CHECK(journal_open(&j, path, false, &why), "%s", why.text))
      abort();
    CHECK(journal_count(j) == n + 1, "%zu records after %zu", journal_count(j), n);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
      const char *record = journal_at(j, i, &length);
      at += 8; /* the frame */
      CHECK(at + length <= size && memcmp(record, data + at, length) == 0, "record %zu", i);
      at += length;
    }
    const char *last = journal_at(j, n, &other);
    CHECK(other == text.length && memcmp(last, text.data, other) == 0, "the record added");
    journal_close(j);
  } else {
    CHECK(why.kind != FAIL_NONE && why.text[0] != 0, "no reason");
  }
  buf_free(&text);
  return fuzz_end();
}
