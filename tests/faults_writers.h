/*
 * faults_writers.h - for files_faults.c: what the system seldom does to who writes files.
 *
 * Owns: calls that succeed in an odd way, scenarios of outputs, the check of a second signal. Must
 * not know: formats. Included after the counter of calls.
 */
#ifndef TESTS_FAULTS_WRITERS_H
#define TESTS_FAULTS_WRITERS_H

static struct {
  int vanishing;      /* so many locks are had when the file has lost its name */
  bool no_progress;   /* a write takes no byte */
  bool endless;       /* a file has the largest size that there is */
  bool no_processors; /* nobody knows how many */
  bool space;         /* what statvfs says */
  struct statvfs is;
} odd;

int __real_flock(int fd, int what);
int __wrap_flock(int fd, int what);
int __wrap_flock(int fd, int what)
{
  char entry[64], path[1024];
  if (fails(SYSTEM, error_given) || fails(INTERRUPTED, EINTR))
    return -1;
  if (odd.vanishing > 0) {
    odd.vanishing--;
    snprintf(entry, sizeof entry, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(entry, path, sizeof path - 1);
    CHECK(n > 0, "%s", entry);
    path[n > 0 ? n : 0] = 0;
    CHECK(unlink(path) == 0, "%s", path);
  }
  return __real_flock(fd, what);
}

/* Nothing here is to outlive a power cut. */
int __wrap_fsync(int fd);
int __wrap_fsync(int fd)
{
  (void)fd;
  return fails(SYSTEM, error_given) || fails(INTERRUPTED, EINTR) ? -1 : 0;
}

ssize_t __real_pwrite64(int fd, const void *from, size_t n, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t n, off_t at);
ssize_t __wrap_pwrite64(int fd, const void *from, size_t n, off_t at)
{
  if (fails(SYSTEM, error_given) || fails(INTERRUPTED, EINTR))
    return -1;
  return odd.no_progress ? 0 : __real_pwrite64(fd, from, n, at);
}

int __real_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st);
int __wrap_fstat64(int fd, struct stat *st)
{
  if (fails(SYSTEM, error_given))
    return -1;
  int got = __real_fstat64(fd, st);
  if (odd.endless)
    st->st_size = -1;
  return got;
}

int __real_statvfs64(const char *name, struct statvfs *s);
int __wrap_statvfs64(const char *name, struct statvfs *s);
int __wrap_statvfs64(const char *name, struct statvfs *s)
{
  if (fails(SYSTEM, error_given))
    return -1;
  if (!odd.space)
    return __real_statvfs64(name, s);
  *s = odd.is;
  return 0;
}

long __real_sysconf(int name);
long __wrap_sysconf(int name);
long __wrap_sysconf(int name)
{
  return odd.no_processors && name == _SC_NPROCESSORS_ONLN ? -1 : __real_sysconf(name);
}

static sigjmp_buf at_end;
static int end_status = -1;

void __wrap__Exit(int status);
void __wrap__Exit(int status)
{
  end_status = status;
  siglongjmp(at_end, 1);
}

static void check_odd(void)
{
  fail why = {0};
  out_file *f = NULL;
  journal *j = NULL;
  char *text = NULL;
  size_t length;
  const char *path = at("odd");

  odd.vanishing = 1;
  CHECK(journal_open(&j, path, false, &why) && exists(path), "taken away before it was locked: %s",
        why.text);
  journal_close(j);
  unlink(path);
  odd.vanishing = 1;
  CHECK(out_file_create(&f, path, false, &why) && out_append(f, "text", 4, &why) &&
            out_file_commit(&f, &why) && same_text(path, "text"),
        "%s", why.text);
  odd.vanishing = 1000;
  CHECK(!out_file_create(&f, path, true, &why) && why.kind == FAIL_EXISTS && odd.vanishing > 0,
        "a name that is always taken: %s", why.text);
  odd.vanishing = 0;

  odd.no_progress = true;
  CHECK(out_file_create(&f, path, true, &why) && !out_append(f, "new", 3, &why) &&
            why.detail == ENOSPC,
        "%s", why.text);
  out_file_abort(f);
  odd.no_progress = false;
  CHECK(same_text(path, "text"), "as it was");

  odd.endless = true;
  CHECK(!io_read_all(&text, &length, AT_FDCWD, path, true, UINT64_MAX, "f", &why) &&
            why.kind == FAIL_LIMIT,
        "%s", why.text);
  odd.endless = false;
  unlink(path);

  odd.space = true;
  CHECK(out_space(path) == UINT64_MAX, "no blocks: %llu", (unsigned long long)out_space(path));
  odd.is.f_blocks = 10;
  CHECK(out_space(path) == UINT64_MAX, "of no size: %llu", (unsigned long long)out_space(path));
  odd.is.f_frsize = 4096;
  odd.is.f_bavail = 7;
  CHECK(out_space(path) == 7 * 4096, "%llu", (unsigned long long)out_space(path));
  odd.is.f_bavail = UINT64_MAX / 4096 + 1;
  CHECK(out_space(path) == UINT64_MAX, "too many: %llu", (unsigned long long)out_space(path));
  odd.space = false;

  odd.no_processors = true;
  CHECK(sys_processors() == 1, "%u processors", sys_processors());
  odd.no_processors = false;
}

/* The first signal is remembered, the second one ends the process. */
static void check_signals(void)
{
  fail why = {0};
  CHECK(interrupt_install(&why) && interrupt_check(NULL), "%s", why.text);
  CHECK(raise(SIGINT) == 0 && interrupt_signal() == SIGINT && !interrupt_check(NULL), "the first");
  CHECK(!interrupt_check(&why) && why.detail == SIGINT, "%s", why.text);
  if (sigsetjmp(at_end, 1) == 0)
    raise(SIGTERM);
  CHECK(end_status == 128 + SIGTERM, "the second: %d", end_status);
}

/* ---- scenarios ---- */

static bool signals(fail *why)
{
  return interrupt_install(why);
}

/* Beside the output lie a file that a killed process left, and a pipe of such a name. link() and
 * mkfifo() are not among the calls that fail. */
static bool beside_stale(fail *why)
{
  out_file *f = NULL;
  bool ok = link(at("in.json"), at("work/.new.tmp.1.0")) == 0 &&
            mkfifo(at("work/.new.tmp.1.1"), 0600) == 0;
  CHECK(ok, "files that are left");
  ok = out_file_create(&f, at("work/new"), true, why) && out_append(f, "text", 4, why) &&
       out_file_commit(&f, why);
  out_file_abort(f);
  return ok;
}

/* A folder that somebody else has made and removes. */
static bool lent_folder(fail *why)
{
  out_folder *to = NULL;
  char hidden[1024];
  snprintf(hidden, sizeof hidden, "%s", at("work/hidden"));
  bool ok = mkdir(hidden, 0700) == 0 || fail_system(why, hidden, "make", errno);
  ok = ok && out_folder_create(&to, at("work/lent"), hidden, true, why) &&
       out_folder_put(to, "part", "text", 4, why) && out_folder_commit(&to, why);
  out_folder_abort(to);
  return ok;
}

#endif
