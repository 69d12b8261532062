/* job_parts.c - see job_parts.h. */
#include "job_parts.h"

#include "io.h"
#include "out_path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { PIECE = 1 << 18 };

bool job_part_name(const char *name)
{
  static const char inside[] = JOB_HIDDEN "/";

  if (strncmp(name, inside, sizeof inside - 1) == 0)
    name += sizeof inside - 1;
  return sys_is_name(name) && strcmp(name, JOB_JOURNAL) != 0 && strcmp(name, JOB_HIDDEN) != 0;
}

static bool hash_file(int fd, job_part *p, const atomic_bool *stop, const char *path, fail *why)
{
  char *piece = malloc(PIECE);
  sha256 sum;
  uint64_t at = 0;
  bool ok = true;

  if (piece == NULL)
    return fail_memory(why, path);
  sha256_start(&sum);
  while (ok && at < p->bytes && !atomic_load(stop)) {
    size_t n = p->bytes - at < PIECE ? (size_t)(p->bytes - at) : PIECE;

    ok = io_read_at(fd, at, piece, n, path, why);
    if (ok)
      sha256_add(&sum, piece, n);
    at += n;
  }
  if (ok && at >= p->bytes)
    sha256_text(&sum, p->hash);
  free(piece);
  return ok;
}

bool job_part_look(job_part *p, const atomic_bool *stop, fail *why)
{
  char *path = io_join(p->folder, p->name);
  fail inner = {0};
  int fd = -1;
  bool ok;

  p->there = false;
  p->hash[0] = 0;
  if (path == NULL)
    return fail_memory(why, p->folder);
  ok = io_open(&fd, &p->bytes, SYS_CWD, path, false, path, &inner);
  if (ok) {
    p->there = true;
    ok = stop == NULL || hash_file(fd, p, stop, path, why);
    sys_close(fd);
  } else if (inner.kind == FAIL_IO && inner.detail == ENOENT) {
    ok = true;
  } else if (why != NULL) {
    *why = inner;
  }
  free(path);
  return ok;
}

/* ---- the folder ---- */

/* NULL with errno set. A link is not followed: what is removed lies in the folder itself. */
static sys_list *open_folder(int at, const char *name)
{
  return sys_list_open(at, name, false);
}

bool job_folder_make(const char *folder, fail *why)
{
  sys_info info;
  sys_list *list;
  bool theirs = false, ok = true;

  if (sys_make_folder(SYS_CWD, folder))
    return true;
  if (errno != EEXIST)
    return fail_system(why, folder, "make the folder", errno);
  list = open_folder(SYS_CWD, folder);
  if (list == NULL)
    return fail_system(why, folder, "open", errno);
  if (!sys_look(&info, sys_list_folder(list), JOB_JOURNAL, false))
    theirs = io_next_name(list, &ok, folder, why) != NULL;
  sys_list_close(list);
  if (theirs)
    return fail_set(why, FAIL_EXISTS, folder,
                    "holds files, but no journal: it is not taken for a job folder");
  return ok;
}

/* The journal goes last and by itself, and the hidden folder is one. */
static bool is_frame(const char *before, const char *name)
{
  return before[0] == 0 && (strcmp(name, JOB_JOURNAL) == 0 || strcmp(name, JOB_HIDDEN) == 0);
}

/* Removes what `keep` does not want of one folder, whose parts have `before` in front. */
static bool sweep(sys_list *list, const char *before, bool (*keep)(const void *, const char *),
                  const void *user, fail *why)
{
  bool ok = true;

  for (const char *name; ok && (name = io_next_name(list, &ok, before, why)) != NULL;) {
    char *part = is_frame(before, name) ? NULL : io_join(before, name);

    if (is_frame(before, name))
      continue;
    if (part == NULL)
      ok = fail_memory(why, name);
    else if (!keep(user, part) && !sys_remove(sys_list_folder(list), name))
      ok = fail_system(why, part, "remove an unfinished part", errno);
    free(part);
  }
  return ok;
}

static void remove_files(sys_list *list, const char *before)
{
  bool ok = true;

  for (const char *name; (name = io_next_name(list, &ok, before, NULL)) != NULL;)
    if (!is_frame(before, name))
      sys_remove(sys_list_folder(list), name);
}

bool job_folder_sweep(const char *folder, bool (*keep)(const void *user, const char *part),
                      const void *user, fail *why)
{
  sys_list *top = open_folder(SYS_CWD, folder), *hidden = NULL;

  if (top == NULL)
    return fail_system(why, folder, "open", errno);
  bool ok = sweep(top, "", keep, user, why);
  if (ok && (sys_make_folder(sys_list_folder(top), JOB_HIDDEN) || errno == EEXIST))
    hidden = open_folder(sys_list_folder(top), JOB_HIDDEN);
  if (hidden != NULL) {
    ok = sweep(hidden, JOB_HIDDEN, keep, user, why);
    sys_list_close(hidden);
  } else if (ok) {
    ok = fail_system(why, folder, "make the hidden folder", errno);
  }
  sys_list_close(top);
  return ok;
}

void job_folder_empty(const char *folder)
{
  sys_list *top = open_folder(SYS_CWD, folder), *hidden;

  if (top == NULL)
    return;
  hidden = open_folder(sys_list_folder(top), JOB_HIDDEN);
  if (hidden != NULL) {
    remove_files(hidden, JOB_HIDDEN);
    sys_list_close(hidden);
    sys_remove_folder(sys_list_folder(top), JOB_HIDDEN);
  }
  remove_files(top, "");
  sys_remove(sys_list_folder(top), JOB_JOURNAL);
  sys_list_close(top);
}
