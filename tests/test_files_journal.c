/*
 * The journal of a long job: every byte of it cut off or changed, a second process, records that
 * lie, parts that changed, the moment between the rename and the removal of the job folder.
 */
#include "test_files.h"

#include "../src/files/job.h"
#include "../src/files/journal.h"
#include "../src/files/sha256.h"

static const char *const texts[] = {"{\"job\":1}", "second", "the third record\nof two lines"};

enum { TEXTS = 3, FRAME = 8 };

static bool add(journal *j, const char *text, fail *why)
{
  buf b = {0};
  buf_text(&b, text);
  bool ok = journal_add(j, &b, why);
  buf_free(&b);
  return ok;
}

static void make_journal(const char *path)
{
  fail why = {0};
  journal *j = NULL;
  unlink(path);
  CHECK(journal_open(&j, path, false, &why), "%s", why.text);
  for (int i = 0; i < TEXTS; i++)
    CHECK(add(j, texts[i], &why), "%s", why.text);
  journal_close(j);
}

/* The first `count` records are those that were written. */
static void check_texts(const journal *j, size_t count)
{
  if (!CHECK(journal_count(j) == count, "%zu records, not %zu", journal_count(j), count))
    return;
  for (size_t i = 0; i < count; i++) {
    size_t length;
    const char *text = journal_at(j, i, &length);
    CHECK(length == strlen(texts[i]) && memcmp(text, texts[i], length) == 0, "record %zu", i);
  }
}

/* How many whole records `bytes` bytes hold. */
static size_t whole_records(size_t bytes)
{
  size_t end = 0, count = 0;
  while (count < TEXTS && (end += FRAME + strlen(texts[count])) <= bytes)
    count++;
  return count;
}

static void check_cuts(const char *path, const char *bytes, size_t size)
{
  for (size_t n = 0; n <= size; n++) {
    fail why = {0};
    journal *j = NULL;
    test_in("cut at %zu", n);
    put_bytes(path, bytes, n);
    if (!CHECK(journal_open(&j, path, false, &why), "%s", why.text))
      continue;
    size_t count = whole_records(n);
    check_texts(j, count);
    CHECK(add(j, count < TEXTS ? texts[count] : "more", &why), "%s", why.text);
    journal_close(j);
    CHECK(journal_open(&j, path, false, &why) && journal_count(j) == count + 1, "%s", why.text);
    if (count < TEXTS)
      check_texts(j, count + 1);
    journal_close(j);
  }
  test_in("%s", "");
}

/* A changed record is never taken; an earlier one that is damaged is no end of the journal. */
static void check_flips(const char *path, const char *bytes, size_t size)
{
  size_t last = size - FRAME - strlen(texts[TEXTS - 1]);
  char *changed = test_alloc(size);
  for (size_t n = 0; n < size; n++)
    for (int bit = 0; bit < 8; bit++) {
      fail why = {0};
      journal *j = NULL;
      test_in("byte %zu, bit %d", n, bit);
      memcpy(changed, bytes, size);
      changed[n] = (char)(changed[n] ^ 1 << bit);
      put_bytes(path, changed, size);
      if (journal_open(&j, path, false, &why)) {
        size_t before = whole_records(n);
        check_texts(j, before);
        CHECK(journal_count(j) < TEXTS, "a changed record was taken");
      } else {
        CHECK(why.kind == FAIL_FORMAT && n < last + 4 && strstr(why.text, "byte ") != NULL, "%s",
              why.text);
      }
      journal_close(j);
    }
  test_in("%s", "");
  free(changed);
}

static void check_journal(void)
{
  const char *path = at("journal");
  fail why = {0};
  journal *j = NULL, *second = NULL;
  char zeros[4096] = {0};
  size_t size;
  make_journal(path);
  char *bytes = get_bytes(path, &size);
  if (!CHECK(bytes != NULL && whole_records(size) == TEXTS, "%zu bytes", size))
    return;
  check_cuts(path, bytes, size);
  check_flips(path, bytes, size);

  /* What a power cut leaves behind the end: a longer file of zeros. */
  put_bytes(path, bytes, size);
  FILE *f = fopen(path, "ab");
  CHECK(f != NULL && fwrite(zeros, 1, sizeof zeros, f) == sizeof zeros && fclose(f) == 0, "append");
  CHECK(journal_open(&j, path, false, &why), "%s", why.text);
  check_texts(j, TEXTS);
  CHECK(!journal_open(&second, path, false, &why) && why.kind == FAIL_EXISTS && second == NULL,
        "two at a time: %s", why.text);
  CHECK(!journal_open(&second, path, true, &why) && why.kind == FAIL_EXISTS, "%s", why.text);
  journal_close(j);
  CHECK(journal_open(&j, path, true, &why) && journal_count(j) == 0, "emptied: %s", why.text);
  journal_close(j);

  unlink(path);
#ifndef _WIN32
  CHECK(symlink("elsewhere", path) == 0 && !journal_open(&j, path, false, &why) &&
            !exists(at("elsewhere")),
        "a link is not followed");
  unlink(path);
  CHECK(mkfifo(path, 0600) == 0 && !journal_open(&j, path, false, &why), "a FIFO");
  unlink(path);
#endif
  CHECK(!journal_open(&j, at("no/folder"), false, &why) && why.kind == FAIL_IO, "%s", why.text);
  free(bytes);
}

/* ---- jobs ---- */

static job_store *job;
static char part_text[] = "a finished shard";

static bool open_job(const char *header, bool resume, bool verify, fail *why)
{
  char target[1024];
  buf text = {0};
  snprintf(target, sizeof target, "%s", at("out//"));
  const job_wish wish = {.target = target, .resume = resume, .verify = verify};
  buf_text(&text, header);
  bool ok = job_open(&job, &wish, &text, why);
  buf_free(&text);
  return ok;
}

static void close_job(fail_kind kind)
{
  fail why = {0};
  fail_set(&why, kind, NULL, "failed");
  job_close(job, kind == FAIL_NONE, &why);
  job = NULL;
}

/* A job with two finished parts, closed as after a full disk. The first one has its sum, since the
 * second waited for it; that one has none unless it was quick. */
static void make_job(void)
{
  static const job_pair notes[] = {{"weight \"1\"\n", "1 2 3"}, {"b", ""}};
  fail why = {0};
  CHECK(open_job("{\"job\":1}", false, false, &why), "%s", why.text);
  CHECK(strcmp(job_folder(job), at("out.quant-job")) == 0, "%s", job_folder(job));
  put_text(at("out.quant-job/output/a"), part_text);
  CHECK(job_add(job, "output/a", notes, 2, &why), "%s", why.text);
  put_text(at("out.quant-job/b"), "another");
  CHECK(job_add(job, "b", NULL, 0, &why), "%s", why.text);
  put_text(at("out.quant-job/output/unfinished"), "x");
  fail_set(&why, FAIL_IO, NULL, "disk full");
  job_close(job, false, &why);
  CHECK(strstr(why.text, "disk full; --resume goes on from ") == why.text, "%s", why.text);
  CHECK(exists(at("out.quant-job/journal")), "the job stays");
}

static void check_resume(void)
{
  fail why = {0};
  make_job();
  CHECK(!open_job("{\"job\":2}", true, false, &why) && why.kind == FAIL_EXISTS && job == NULL, "%s",
        why.text);
  CHECK(open_job("{\"job\":1}", true, false, &why), "%s", why.text);
  CHECK(job_has(job, "output/a") && job_has(job, "b") && !job_has(job, "a") &&
            !job_has(job, "output/unfinished"),
        "parts");
  const char *note = job_note(job, "output/a", "weight \"1\"\n");
  CHECK(note != NULL && strcmp(note, "1 2 3") == 0, "note");
  CHECK(job_note(job, "output/a", "c") == NULL && job_note(job, "x", "b") == NULL, "no note");
  CHECK(!exists(at("out.quant-job/output/unfinished")), "an unfinished part is removed");
  job_store *first = job;
  CHECK(!open_job("{\"job\":1}", true, false, &why) && why.kind == FAIL_EXISTS, "locked: %s",
        why.text);
  CHECK(!open_job("{\"job\":1}", false, false, &why) && exists(at("out.quant-job/output/a")),
        "locked: %s", why.text);
  job = first;
  close_job(FAIL_INTERRUPTED);
  CHECK(open_job("{\"job\":1}", true, true, &why) && job_has(job, "output/a"), "verified: %s",
        why.text);
  close_job(FAIL_NOMEM);
  CHECK(exists(at("out.quant-job")), "kept");

  /* Changed since: with the same length only --verify sees it. */
  part_text[0] = 'A';
  put_text(at("out.quant-job/output/a"), part_text);
  part_text[0] = 'a';
  CHECK(open_job("{\"job\":1}", true, false, &why) && job_has(job, "output/a"), "%s", why.text);
  close_job(FAIL_IO);
  CHECK(open_job("{\"job\":1}", true, true, &why) && !job_has(job, "output/a"), "%s", why.text);
  CHECK(!exists(at("out.quant-job/output/a")), "what is not as it was is removed");
  close_job(FAIL_IO);
  unlink(at("out.quant-job/b"));
  CHECK(open_job("{\"job\":1}", true, false, &why) && !job_has(job, "b"), "%s", why.text);
  close_job(FAIL_IO);
  CHECK(!exists(at("out.quant-job")), "a job without a finished part goes");

  make_job();
  put_text(at("out.quant-job/output/a"), "shorter");
  CHECK(open_job("{\"job\":1}", true, false, &why) && !job_has(job, "output/a"), "%s", why.text);
  close_job(FAIL_NONE);
  make_job();
  CHECK(open_job("{\"job\":1}", false, false, &why) && !job_has(job, "output/a"), "from anew");
  close_job(FAIL_IO);
  make_job();
  CHECK(open_job("{\"job\":1}", true, false, &why), "%s", why.text);
  close_job(FAIL_DATA);
  CHECK(!exists(at("out.quant-job")), "what would fail again goes");
}

static void check_seal(void)
{
  fail why = {0};
  make_job();
  CHECK(open_job("{\"job\":1}", true, false, &why) && job_seal(job, &why), "%s", why.text);
  CHECK(!job_is_complete(job), "not in place yet");
  close_job(FAIL_IO);
  CHECK(open_job("{\"job\":1}", true, false, &why) && !job_is_complete(job), "sealed only");
  CHECK(job_seal(job, &why) && rename(job_hidden(job), at("out")) == 0, "%s", why.text);
  close_job(FAIL_IO); /* as if it had been killed here */
  CHECK(open_job("{\"job\":1}", true, true, &why), "%s", why.text);
  CHECK(job_is_complete(job) && job_has(job, "output/a") && strcmp(job_hidden(job), at("out")) == 0,
        "in place");
  close_job(FAIL_NONE);
  CHECK(!exists(at("out.quant-job")) && same_text(at("out/a"), part_text), "cleaned");
  CHECK(!open_job("{\"job\":1}", false, false, &why) && why.kind == FAIL_EXISTS &&
            !exists(at("out.quant-job")),
        "an output that exists: %s", why.text);
  remove_all(at("out"));
  rmdir(at("out"));
}

/* Records with a right sum that say what no run writes. */
static void check_lies(void)
{
  static const char *const lies[] = {"[]",
                                     "{",
                                     "{\"done\":1,\"bytes\":1,\"sha256\":\"\"}",
                                     "{\"done\":\"output/a\"}",
                                     "{\"done\":\"../a\",\"bytes\":1,\"sha256\":\"x\"}",
                                     "{\"done\":\"output/../a\",\"bytes\":1,\"sha256\":\"x\"}",
                                     "{\"done\":\"output\",\"bytes\":1,\"sha256\":\"x\"}",
                                     "{\"done\":\"journal\",\"bytes\":1,\"sha256\":\"x\"}",
                                     "{\"done\":\"/etc/passwd\",\"bytes\":1,\"sha256\":\"x\"}",
                                     "{\"done\":\"a\\u0000b\",\"bytes\":1,\"sha256\":\"x\"}",
                                     "{\"done\":\"\",\"bytes\":-1,\"sha256\":\"x\"}",
                                     "{\"sealed\":\"x\"}",
                                     "{\"sealed\":-1}"};
  for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
    fail why = {0};
    journal *j = NULL;
    test_in("%s", lies[i]);
    make_job();
    CHECK(journal_open(&j, at("out.quant-job/journal"), false, &why) && add(j, lies[i], &why), "%s",
          why.text);
    journal_close(j);
    CHECK(!open_job("{\"job\":1}", true, false, &why) && why.kind == FAIL_FORMAT, "%s", why.text);
    CHECK(exists(at("out.quant-job/output/a")), "a job that cannot be read is left alone");
  }
  test_in("%s", "");
  fail why = {0};
  CHECK(open_job("{\"job\":1}", false, false, &why), "without --resume: %s", why.text);
  close_job(FAIL_NONE);
}

/* FIPS 180-4, and lengths around a block, from sha256sum. */
static void check_sum(void)
{
  static const struct {
    size_t length;
    const char *sum;
  } rows[] = {{0, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
              {55, "9f4390f8d30c2dd92ec9f095b65e2b9ae9b0a925a5258e241c9f1e910f734318"},
              {56, "b35439a4ac6f0948b6d6f9e3c6af0f5f590ce20f1bde7090ef7970686ec6738a"},
              {63, "7d3e74a05d7db15bce4ad9ec0658ea98e3f06eeecf16b4c6fff2da457ddc2f34"},
              {64, "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb"},
              {65, "635361c48bb9eab14198e76ea8ab7f1a41685d6ad62aa9146d301d4f17eb0ae0"},
              {119, "31eba51c313a5c08226adf18d4a359cfdfd8d2e816b13f4af952f7ea6584dcfb"},
              {120, "2f3d335432c70b580af0e8e1b3674a7c020d683aa5f73aaaedfdc55af904c21c"},
              {200, "c2a908d98f5df987ade41b5fce213067efbcc21ef2240212a41e54b5e7c28ae5"}};
  char text[SHA256_TEXT], bytes[200];
  sha256 s;
  sha256_start(&s);
  sha256_add(&s, "abc", 3);
  sha256_text(&s, text);
  CHECK(strcmp(text, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad") == 0, "%s",
        text);
  memset(bytes, 'a', sizeof bytes);
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
    for (size_t piece = 1; piece <= 67; piece += 11) {
      sha256_start(&s);
      for (size_t n = 0; n < rows[i].length; n += piece)
        sha256_add(&s, bytes, rows[i].length - n < piece ? rows[i].length - n : piece);
      sha256_text(&s, text);
      CHECK(strcmp(text, rows[i].sum) == 0, "%zu bytes: %s", rows[i].length, text);
    }
}

int main(void)
{
  scratch_make();
  check_sum();
  check_journal();
  check_resume();
  check_seal();
  check_lies();
  CHECK(entries(scratch) == 0, "%d names are left", entries(scratch));
  scratch_remove();
  return test_end();
}
