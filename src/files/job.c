/* job.c - see job.h. */
#include "job.h"

#include "io.h"
#include "job_parts.h"
#include "journal.h"
#include "json.h"
#include "out_folder.h"
#include "out_path.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct job_store {
  char *target, *folder, *hidden;
  journal *records;
  json_doc **docs; /* records of finished parts that count */
  size_t count;
  bool complete, added;
  atomic_bool stop; /* hashing */
  struct {
    char *name; /* NULL when nothing is being hashed */
    job_part part;
    pthread_t thread;
    buf text; /* the record, but for what the hash decides */
    json_printer printer;
    bool ok;
    fail why;
  } hashing;
};

/* ---- what is finished ---- */

static json_id member(const json_doc *d, const char *name)
{
  return json_get(d, json_root(d), name);
}

static const json_doc *find(const job_store *j, const char *part)
{
  for (size_t i = 0; i < j->count; i++)
    if (json_is(j->docs[i], member(j->docs[i], "done"), part))
      return j->docs[i];
  return NULL;
}

bool job_has(const job_store *j, const char *part)
{
  return find(j, part) != NULL;
}

static bool is_wanted(const void *user, const char *part)
{
  return job_has(user, part);
}

bool job_is_complete(const job_store *j)
{
  return j->complete;
}

const char *job_note(const job_store *j, const char *part, const char *name)
{
  const json_doc *d = find(j, part);

  return d != NULL ? json_string(d, json_get(d, member(d, "notes"), name)) : NULL;
}

const char *job_folder(const job_store *j)
{
  return j->folder;
}

const char *job_hidden(const job_store *j)
{
  return j->complete ? j->target : j->hidden;
}

/* ---- opening ---- */

static bool parse_record(const job_store *j, size_t i, json_doc **out, const char *path, fail *why)
{
  size_t length;
  const char *text = journal_at(j->records, i, &length);
  char *copy = malloc(length + 1);

  *out = NULL;
  if (copy == NULL)
    return fail_memory(why, path);
  memcpy(copy, text, length);
  copy[length] = 0;
  return json_parse(out, copy, length, path, 0, why);
}

/* The hidden folder keeps its number when it is renamed: that tells whether it was. */
static bool is_in_place(const job_store *j, uint64_t number)
{
  sys_info info;

  return sys_look(&info, SYS_CWD, j->target, true) && info.id == number;
}

/* Is the file what the record says? If not, the part is made again. */
static bool check_part(const job_store *j, const json_doc *d, bool verify, bool *good, fail *why)
{
  job_part found = {.folder = j->folder, .name = json_string(d, member(d, "done"))};
  const char *hash = json_string(d, member(d, "sha256"));
  uint64_t bytes = 0;

  *good = j->complete;
  if (found.name == NULL || json_u64(d, member(d, "bytes"), &bytes) != FAIL_NONE ||
      !job_part_name(found.name))
    return fail_set(why, FAIL_FORMAT, json_file(d), "a record of no known kind");
  if (*good)
    return true;
  if (!job_part_look(&found, verify ? &j->stop : NULL, why))
    return false;
  *good = found.there && found.bytes == bytes &&
          (!verify || (hash != NULL && strcmp(found.hash, hash) == 0));
  return true;
}

/* Records from the last to the first: the seal tells where the parts are. */
static bool take_record(job_store *j, size_t i, bool verify, const char *path, fail *why)
{
  json_doc *d;
  uint64_t number;
  bool good = false;

  if (!parse_record(j, i, &d, path, why))
    return false;
  if (json_u64(d, member(d, "sealed"), &number) == FAIL_NONE)
    j->complete = j->complete || is_in_place(j, number);
  else if (!check_part(j, d, verify, &good, why)) {
    json_free(d);
    return false;
  }
  if (good && !job_has(j, json_string(d, member(d, "done"))))
    j->docs[j->count++] = d;
  else
    json_free(d);
  return true;
}

static bool take_records(job_store *j, const buf *header, bool verify, const char *path, fail *why)
{
  size_t length, count = journal_count(j->records);
  const char *text = journal_at(j->records, 0, &length);

  if (length != header->length || memcmp(text, header->data, length) != 0)
    return fail_set(why, FAIL_EXISTS, path,
                    "is of a run with another model, text or options, or by another version; "
                    "without --resume it is replaced");
  j->docs = calloc(count, sizeof(*j->docs));
  if (j->docs == NULL)
    return fail_memory(why, path);
  for (size_t i = count; i-- > 1;)
    if (!take_record(j, i, verify, path, why))
      return false;
  return true;
}

static bool open_journal(job_store *j, const job_wish *wish, const buf *header, fail *why)
{
  char *path = io_join(j->folder, JOB_JOURNAL);
  bool ok;

  if (path == NULL)
    return fail_memory(why, j->folder);
  ok = journal_open(&j->records, path, !wish->resume, why);
  if (ok && journal_count(j->records) > 0)
    ok = take_records(j, header, wish->verify, path, why);
  else if (ok)
    ok = journal_add(j->records, header, why);
  ok = ok && (j->complete || (out_folder_check(j->target, wish->force, why) &&
                              job_folder_sweep(j->folder, is_wanted, j, why)));
  free(path);
  return ok && out_sync_folder(j->folder, j->folder, why);
}

static void release(job_store *j)
{
  for (size_t i = 0; i < j->count; i++)
    json_free(j->docs[i]);
  free(j->docs);
  journal_close(j->records);
  free(j->target);
  free(j->folder);
  free(j->hidden);
  free(j);
}

/* The journal is locked until its name is gone; on some systems the folder stays for as long as
 * anything in it is open. */
static void remove_folder(job_store *j)
{
  job_folder_empty(j->folder);
  journal_close(j->records);
  j->records = NULL;
  sys_remove_folder(SYS_CWD, j->folder);
}

bool job_open(job_store **out, const job_wish *wish, const buf *header, fail *why)
{
  job_store *j = calloc(1, sizeof *j);

  *out = NULL;
  if (j == NULL)
    return fail_memory(why, wish->target);
  j->target = out_trimmed(wish->target, "");
  j->folder = out_trimmed(wish->target, ".quant-job");
  j->hidden = j->folder != NULL ? io_join(j->folder, JOB_HIDDEN) : NULL;
  if (j->target == NULL || j->hidden == NULL || header->failed)
    fail_memory(why, wish->target);
  else if (job_folder_make(j->folder, why) && open_journal(j, wish, header, why)) {
    *out = j;
    return true;
  }
  /* A new journal is of no use to anybody; an old one is not ours to remove. */
  if (j->records != NULL && (!wish->resume || journal_count(j->records) == 0))
    remove_folder(j);
  release(j);
  return false;
}

/* ---- records ---- */

static void forget(job_store *j)
{
  free(j->hashing.name);
  j->hashing.name = NULL;
  buf_free(&j->hashing.text);
}

/* Ends the record with size and sum, and writes it. On a thread of its own, which has the journal
 * until it is joined. */
static void *record_part(void *user)
{
  job_store *j = user;
  job_part *part = &j->hashing.part;
  json_printer *p = &j->hashing.printer;
  fail *why = &j->hashing.why;

  j->hashing.ok = false;
  if (!job_part_look(part, &j->stop, why))
    return NULL;
  if (!part->there) {
    fail_set(why, FAIL_IO, j->folder, "%s is not there any more", part->name);
    return NULL;
  }
  json_print_u64(p, "bytes", part->bytes);
  if (part->hash[0] != 0)
    json_print_string(p, "sha256", part->hash);
  json_end(p, '}');
  j->hashing.ok = journal_add(j->records, &j->hashing.text, why);
  return NULL;
}

/* Waits for the record that is being made; with `stop` it is written at once, without a sum. */
static bool settle(job_store *j, bool stop, fail *why)
{
  if (j->hashing.name == NULL)
    return true;
  atomic_store(&j->stop, stop);
  pthread_join(j->hashing.thread, NULL);
  atomic_store(&j->stop, false);
  forget(j);
  j->added = j->added || j->hashing.ok;
  if (!j->hashing.ok && why != NULL)
    *why = j->hashing.why;
  return j->hashing.ok;
}

bool job_add(job_store *j, const char *part, const job_pair *notes, size_t count, fail *why)
{
  json_printer *p = &j->hashing.printer;
  int error;

  if (!settle(j, false, why))
    return false;
  j->hashing.name = io_join(NULL, part);
  if (j->hashing.name == NULL)
    return fail_memory(why, j->folder);
  j->hashing.part = (job_part){.folder = j->folder, .name = j->hashing.name};
  *p = (json_printer){.to = &j->hashing.text};
  json_begin(p, NULL, '{');
  json_print_string(p, "done", part);
  json_begin(p, "notes", '{');
  for (size_t i = 0; i < count; i++)
    json_print_string(p, notes[i].name, notes[i].text);
  json_end(p, '}');
  error = pthread_create(&j->hashing.thread, NULL, record_part, j);
  if (error == 0)
    return true;
  forget(j);
  return fail_system(why, j->folder, "start a thread", error);
}

bool job_seal(job_store *j, fail *why)
{
  sys_info info;
  buf text = {0};
  json_printer p = {.to = &text};
  bool ok;

  if (!settle(j, true, why))
    return false;
  if (!sys_look(&info, SYS_CWD, j->hidden, true))
    return fail_system(why, j->hidden, "look at", errno);
  json_begin(&p, NULL, '{');
  json_print_u64(&p, "sealed", info.id);
  json_end(&p, '}');
  ok = journal_add(j->records, &text, why);
  buf_free(&text);
  return ok;
}

void job_close(job_store *j, bool done, fail *why)
{
  if (j == NULL)
    return;
  settle(j, true, NULL);
  /* With weights that cannot be encoded it would fail again, whatever is finished. */
  if (done || (j->count == 0 && !j->added) || why->kind == FAIL_DATA)
    remove_folder(j);
  else
    fail_add(why, "; --resume goes on from %s", j->folder);
  release(j);
}
