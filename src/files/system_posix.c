/* system_posix.c - see system.h. Must not know: what only one system has. */
#ifndef _WIN32

#include "system.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

_Static_assert(sizeof(off_t) == 8, "compile with _FILE_OFFSET_BITS=64");

static int at_fd(int folder)
{
  return folder == SYS_CWD ? AT_FDCWD : folder;
}

/* ---- what a name stands for ---- */

static bool fill(sys_info *out, int status, const struct stat *st)
{
  *out = (sys_info){0};
  if (status != 0)
    return false;
  *out = (sys_info){.is_file = S_ISREG(st->st_mode),
                    .is_folder = S_ISDIR(st->st_mode),
                    .is_link = S_ISLNK(st->st_mode),
                    .mode = st->st_mode & 0777,
                    .bytes = (uint64_t)st->st_size,
                    .links = (uint64_t)st->st_nlink,
                    .device = (uint64_t)st->st_dev,
                    .id = (uint64_t)st->st_ino,
                    .seconds = st->st_mtim.tv_sec,
                    .nanoseconds = st->st_mtim.tv_nsec};
  return true;
}

bool sys_look(sys_info *out, int folder, const char *name, bool follow)
{
  struct stat st = {0};
  return fill(out, fstatat(at_fd(folder), name, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW), &st);
}

bool sys_look_open(sys_info *out, int fd)
{
  struct stat st = {0};
  return fill(out, fstat(fd, &st), &st);
}

bool sys_same(const sys_info *a, const sys_info *b)
{
  return a->device == b->device && a->id == b->id;
}

/* ---- open files ---- */

/* Two names, which are one number on Linux: callers know ENOTSUP. */
static int plain_error(int error)
{
  return error == EOPNOTSUPP ? ENOTSUP : error;
}

int sys_open(int folder, const char *name, sys_way way)
{
  static const int flags[] = {
      [SYS_READ] = O_RDONLY,
      [SYS_READ_PLAIN] = O_RDONLY | O_NOFOLLOW,
      [SYS_CHANGE] = O_RDWR | O_NOFOLLOW,
      [SYS_CHANGE_OR_CREATE] = O_RDWR | O_NOFOLLOW | O_CREAT,
      [SYS_CREATE] = O_RDWR | O_CREAT | O_EXCL,
  };
  /* O_NONBLOCK: a FIFO must not wait for its other end. It changes nothing for a file. */
  return openat(at_fd(folder), name, flags[way] | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0666);
}

int sys_open_folder(const char *path)
{
  return openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

bool sys_close(int fd)
{
  return close(fd) == 0 || errno == EINTR; /* Linux has closed it then */
}

int64_t sys_read_at(int fd, void *into, size_t count, uint64_t offset)
{
  return pread(fd, into, count, (off_t)offset);
}

int64_t sys_write_at(int fd, const void *from, size_t count, uint64_t offset)
{
  return pwrite(fd, from, count, (off_t)offset);
}

bool sys_flush(int fd)
{
  int got;
  do
    got = fsync(fd);
  while (got != 0 && errno == EINTR);
  return got == 0;
}

bool sys_flush_folder(int fd)
{
  return sys_flush(fd) || errno == EINVAL; /* a file system that keeps no folders to flush */
}

bool sys_reserve(int fd, uint64_t bytes)
{
  int error;
  do
    error = posix_fallocate(fd, 0, (off_t)bytes);
  while (error == EINTR);
  errno = plain_error(error);
  /* A file system that cannot reserve reports a full disk later, at the write. */
  return errno == 0 || errno == EINVAL || errno == ENOTSUP || errno == ENOSYS;
}

bool sys_cut(int fd, uint64_t bytes)
{
  return ftruncate(fd, (off_t)bytes) == 0;
}

bool sys_set_mode(int fd, unsigned mode)
{
  return fchmod(fd, (mode_t)mode) == 0;
}

bool sys_lock(int fd)
{
  int got;
  do
    got = flock(fd, LOCK_EX | LOCK_NB);
  while (got != 0 && errno == EINTR);
  errno = plain_error(errno);
  return got == 0;
}

uint64_t sys_free_space(const char *folder)
{
  struct statvfs s;
  if (statvfs(folder, &s) != 0 || s.f_blocks == 0 || s.f_frsize == 0)
    return UINT64_MAX;
  return s.f_bavail > UINT64_MAX / s.f_frsize ? UINT64_MAX : (uint64_t)s.f_bavail * s.f_frsize;
}

/* ---- names ---- */

bool sys_rename(const char *from, const char *to)
{
  return rename(from, to) == 0;
}

bool sys_make_folder(int folder, const char *name)
{
  return mkdirat(at_fd(folder), name, 0777) == 0;
}

bool sys_remove(int folder, const char *name)
{
  return unlinkat(at_fd(folder), name, 0) == 0;
}

bool sys_remove_folder(int folder, const char *name)
{
  return unlinkat(at_fd(folder), name, AT_REMOVEDIR) == 0;
}

/* A sys_list is a DIR under another name. */
sys_list *sys_list_open(int folder, const char *name, bool follow)
{
  int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | (follow ? 0 : O_NOFOLLOW);
  int fd = openat(at_fd(folder), name, flags);
  DIR *dir = fd >= 0 ? fdopendir(fd) : NULL; /* closedir closes fd */
  if (dir == NULL && fd >= 0) {
    int error = errno;
    close(fd);
    errno = error;
  }
  return (sys_list *)dir;
}

int sys_list_folder(const sys_list *l)
{
  return dirfd((DIR *)(uintptr_t)l);
}

const char *sys_list_next(sys_list *l)
{
  const struct dirent *e;
  do {
    errno = 0; /* the end and a failure look alike otherwise */
    e = readdir((DIR *)l);
  } while (e != NULL && (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0));
  return e != NULL ? e->d_name : NULL;
}

void sys_list_close(sys_list *l)
{
  if (l != NULL)
    closedir((DIR *)l);
}

/* ---- spelling of paths ---- */

bool sys_is_separator(char c)
{
  return c == '/';
}

const char *sys_last_part(const char *path)
{
  const char *slash = strrchr(path, '/');
  return slash != NULL ? slash + 1 : path;
}

bool sys_is_name(const char *name)
{
  return name[0] != 0 && strchr(name, '/') == NULL && strcmp(name, ".") != 0 &&
         strcmp(name, "..") != 0;
}

/* ---- memory ---- */

void *sys_alloc_aligned(size_t alignment, size_t bytes)
{
  return aligned_alloc(alignment, bytes);
}

void sys_free_aligned(void *block)
{
  free(block);
}

/* ---- process and terminal ---- */

bool sys_start(int *argc, char ***argv)
{
  (void)argc;
  (void)argv;
  return true;
}

bool sys_catch(void (*handler)(int))
{
  struct sigaction action = {0};
  action.sa_handler = handler;
  sigemptyset(&action.sa_mask);
  if (sigaction(SIGINT, &action, NULL) != 0 || sigaction(SIGTERM, &action, NULL) != 0)
    return false;
  action.sa_handler = SIG_IGN;
  return sigaction(SIGPIPE, &action, NULL) == 0 && sigaction(SIGXFSZ, &action, NULL) == 0;
}

long sys_process(void)
{
  return (long)getpid();
}

unsigned sys_processors(void)
{
  long online = sysconf(_SC_NPROCESSORS_ONLN);
  return online > 0 ? (unsigned)online : 1;
}

double sys_seconds(void)
{
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int sys_terminal_columns(void)
{
  const char *term = getenv("TERM");
  if (!isatty(STDERR_FILENO) || (term != NULL && strcmp(term, "dumb") == 0))
    return 0;
#ifdef TIOCGWINSZ
  struct winsize size = {0};
  ioctl(STDERR_FILENO, TIOCGWINSZ, &size);
  if (size.ws_col > 0)
    return size.ws_col;
#endif
  return 80;
}

void sys_error_text(char *out, size_t size, int error)
{
  if (strerror_r(error, out, size) != 0)
    snprintf(out, size, "error %d", error);
}

#else
typedef int system_posix_is_empty; /* ISO C wants a declaration */
#endif
