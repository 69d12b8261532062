/*
 * system_windows.c - see system.h. A descriptor is one of the C library that stands for a handle.
 *
 * Every path becomes absolute and gets the prefix that lifts the limit of 260 characters. A name in
 * an open folder becomes a path by way of the folder's handle.
 */
#ifdef _WIN32

#include "system.h"

#include <windows.h>
/* after windows.h */
#include <errno.h>
#include <fcntl.h>
#include <io.h>
#include <malloc.h>
#include <shellapi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- errors ---- */

static int errno_of(DWORD error)
{
  switch (error) {
  case ERROR_FILE_NOT_FOUND:
  case ERROR_PATH_NOT_FOUND:
  case ERROR_INVALID_DRIVE:
  case ERROR_INVALID_NAME:
  case ERROR_BAD_PATHNAME:
  case ERROR_BAD_NETPATH:
  case ERROR_BAD_NET_NAME: return ENOENT;
  case ERROR_ACCESS_DENIED:
  case ERROR_SHARING_VIOLATION:
  case ERROR_LOCK_VIOLATION:
  case ERROR_USER_MAPPED_FILE:
  case ERROR_DELETE_PENDING: return EACCES;
  case ERROR_WRITE_PROTECT: return EROFS;
  case ERROR_ALREADY_EXISTS:
  case ERROR_FILE_EXISTS: return EEXIST;
  case ERROR_DIR_NOT_EMPTY: return ENOTEMPTY;
  case ERROR_DIRECTORY: return ENOTDIR;
  case ERROR_NOT_SAME_DEVICE: return EXDEV;
  case ERROR_DISK_FULL:
  case ERROR_HANDLE_DISK_FULL: return ENOSPC;
  case ERROR_FILE_TOO_LARGE: return EFBIG;
  case ERROR_BROKEN_PIPE:
  case ERROR_NO_DATA: return EPIPE;
  case ERROR_NOT_ENOUGH_MEMORY:
  case ERROR_OUTOFMEMORY:
  case ERROR_COMMITMENT_LIMIT: return ENOMEM;
  case ERROR_TOO_MANY_OPEN_FILES: return EMFILE;
  case ERROR_FILENAME_EXCED_RANGE: return ENAMETOOLONG;
  case ERROR_NO_UNICODE_TRANSLATION: return EILSEQ;
  case ERROR_INVALID_PARAMETER: return EINVAL;
  case ERROR_NOT_SUPPORTED:
  case ERROR_INVALID_FUNCTION: return ENOSYS;
  default: return EIO;
  }
}

/* What a function of Windows says, with its reason in errno. */
static bool done(BOOL ok)
{
  if (!ok)
    errno = errno_of(GetLastError());
  return ok != 0;
}

void sys_error_text(char *out, size_t size, int error)
{
  if (strerror_s(out, size, error) != 0)
    snprintf(out, size, "error %d", error);
}

/* ---- spelling of paths ---- */

bool sys_is_separator(char c)
{
  return c == '/' || c == '\\';
}

const char *sys_last_part(const char *path)
{
  const char *last = path;
  if (path[0] != 0 && path[1] == ':')
    last = path + 2; /* of "C:name" */
  for (const char *c = last; *c != 0; c++)
    if (sys_is_separator(*c))
      last = c + 1;
  return last;
}

/* CON, COM1 and so on, with any ending, are devices in every folder. */
static bool is_device(const char *name)
{
  static const char *const devices[] = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"};
  size_t n = strcspn(name, ".");
  while (n > 0 && name[n - 1] == ' ')
    n--;
  for (size_t i = 0; i < sizeof devices / sizeof *devices; i++)
    if (n == strlen(devices[i]) && _strnicmp(name, devices[i], n) == 0)
      return true;
  return n == 4 && name[3] >= '1' && name[3] <= '9' &&
         (_strnicmp(name, "COM", 3) == 0 || _strnicmp(name, "LPT", 3) == 0);
}

/* A colon would name a stream of the file; dots and blanks at the end are dropped by most programs,
 * so that two names were one. */
bool sys_is_name(const char *name)
{
  size_t n = strlen(name);
  for (const char *c = name; *c != 0; c++)
    if ((unsigned char)*c < ' ' || strchr("/\\:*?\"<>|", *c) != NULL)
      return false;
  return n > 0 && name[n - 1] != '.' && name[n - 1] != ' ' && !is_device(name);
}

static WCHAR *to_wide(const char *text)
{
  int n = MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, NULL, 0);
  WCHAR *wide = n > 0 ? malloc((size_t)n * sizeof *wide) : NULL;
  if (wide == NULL)
    errno = n > 0 ? ENOMEM : EILSEQ;
  else
    MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, text, -1, wide, n);
  return wide;
}

/* `length` units; half a surrogate pair becomes U+FFFD. */
static char *to_utf8(const WCHAR *wide, size_t length)
{
  int n = WideCharToMultiByte(CP_UTF8, 0, wide, (int)length, NULL, 0, NULL, NULL);
  char *text = malloc((size_t)n + 1);
  if (text == NULL) {
    errno = ENOMEM;
    return NULL;
  }
  WideCharToMultiByte(CP_UTF8, 0, wide, (int)length, text, n, NULL, NULL);
  text[n] = 0;
  return text;
}

/* "C:\a" becomes "\\?\C:\a" and "\\server\a" becomes "\\?\UNC\server\a"; "\\.\NUL" stays. */
static WCHAR *prefixed(const WCHAR *full)
{
  bool server = full[0] == L'\\' && full[1] == L'\\';
  bool device = server && (full[2] == L'.' || full[2] == L'?') && full[3] == L'\\';
  const WCHAR *prefix = device ? L"" : server ? L"\\\\?\\UNC" : L"\\\\?\\";
  WCHAR *path = malloc((wcslen(prefix) + wcslen(full) + 1) * sizeof *path);
  if (path == NULL) {
    errno = ENOMEM;
    return NULL;
  }
  wcscpy(path, prefix);
  wcscat(path, full + (server && !device));
  return path;
}

/* From a path of the user. */
static WCHAR *absolute(const char *path)
{
  WCHAR *wide = to_wide(path), *full = NULL, *out = NULL;
  DWORD n = wide != NULL ? GetFullPathNameW(wide, 0, NULL, NULL) : 0;
  if (wide != NULL && n == 0)
    errno = ENOENT; /* an empty path */
  if (n > 0 && (full = malloc(n * sizeof *full)) == NULL)
    errno = ENOMEM;
  if (full != NULL && GetFullPathNameW(wide, n, full, NULL) < n)
    out = prefixed(full);
  free(full);
  free(wide);
  return out;
}

static HANDLE handle_of(int fd)
{
  return (HANDLE)_get_osfhandle(fd);
}

/* From a name in an open folder; "." is the folder itself. */
static WCHAR *path_of(int folder, const char *name)
{
  if (folder == SYS_CWD)
    return absolute(name);
  WCHAR *wide = to_wide(name), *path = NULL;
  DWORD n = wide != NULL ? GetFinalPathNameByHandleW(handle_of(folder), NULL, 0, 0) : 0;
  if (wide != NULL && n == 0)
    done(FALSE);
  if (n > 0 && (path = malloc((n + wcslen(wide) + 2) * sizeof *path)) == NULL)
    errno = ENOMEM;
  if (path != NULL) {
    DWORD used = GetFinalPathNameByHandleW(handle_of(folder), path, n, 0);
    path[used < n ? used : 0] = 0; /* longer than before only if it was renamed meanwhile */
    if (wcscmp(wide, L".") != 0) {
      wcscat(path, L"\\");
      wcscat(path, wide);
    }
  }
  free(wide);
  return path;
}

/* ---- what a name stands for ---- */

/* Other reparse points, such as files kept in a cloud, read like what they stand for. */
static bool is_link(HANDLE h)
{
  FILE_ATTRIBUTE_TAG_INFO info;
  return GetFileInformationByHandleEx(h, FileAttributeTagInfo, &info, sizeof info) != 0 &&
         (info.ReparseTag == IO_REPARSE_TAG_SYMLINK ||
          info.ReparseTag == IO_REPARSE_TAG_MOUNT_POINT);
}

static bool look(sys_info *out, HANDLE h)
{
  const int64_t second = 10000000, from_1601_to_1970 = 11644473600;
  BY_HANDLE_FILE_INFORMATION info;
  FILE_STANDARD_INFO more;
  *out = (sys_info){0};
  if (GetFileType(h) != FILE_TYPE_DISK)
    return true; /* the console, a pipe: neither file nor folder */
  if (!done(GetFileInformationByHandle(h, &info)) ||
      !done(GetFileInformationByHandleEx(h, FileStandardInfo, &more, sizeof more)))
    return false;
  const FILETIME *t = &info.ftLastWriteTime;
  int64_t changed = (int64_t)((uint64_t)t->dwHighDateTime << 32 | t->dwLowDateTime);
  bool folder = (info.dwFileAttributes & FILE_ATTRIBUTE_DIRECTORY) != 0;
  bool link = (info.dwFileAttributes & FILE_ATTRIBUTE_REPARSE_POINT) != 0 && is_link(h);
  *out = (sys_info){.is_file = !folder && !link,
                    .is_folder = folder && !link,
                    .is_link = link,
                    .bytes = (uint64_t)info.nFileSizeHigh << 32 | info.nFileSizeLow,
                    .links = more.DeletePending ? 0 : info.nNumberOfLinks,
                    .device = info.dwVolumeSerialNumber,
                    .id = (uint64_t)info.nFileIndexHigh << 32 | info.nFileIndexLow,
                    .seconds = changed / second - from_1601_to_1970,
                    .nanoseconds = changed % second * 100};
  return true;
}

/* Takes the path. Others may read, rename and remove what is open here, as on other systems; with
 * FILE_FLAG_BACKUP_SEMANTICS folders open, too. */
static HANDLE open_handle(WCHAR *path, DWORD access, DWORD how, bool follow)
{
  const DWORD share = FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE;
  DWORD flags = FILE_FLAG_BACKUP_SEMANTICS | (follow ? 0 : FILE_FLAG_OPEN_REPARSE_POINT);
  HANDLE h = INVALID_HANDLE_VALUE;
  if (path != NULL) {
    h = CreateFileW(path, access, share, NULL, how, flags, NULL);
    done(h != INVALID_HANDLE_VALUE);
  }
  free(path);
  return h;
}

bool sys_look(sys_info *out, int folder, const char *name, bool follow)
{
  *out = (sys_info){0};
  HANDLE h = open_handle(path_of(folder, name), 0, OPEN_EXISTING, follow);
  if (h == INVALID_HANDLE_VALUE)
    return false;
  bool ok = look(out, h);
  CloseHandle(h);
  return ok;
}

bool sys_look_open(sys_info *out, int fd)
{
  return look(out, handle_of(fd));
}

bool sys_same(const sys_info *a, const sys_info *b)
{
  return a->device == b->device && a->id == b->id;
}

/* ---- open files ---- */

static int descriptor(HANDLE h, int flags)
{
  int fd = _open_osfhandle((intptr_t)h, flags | _O_BINARY | _O_NOINHERIT);
  if (fd < 0) {
    CloseHandle(h);
    errno = EMFILE;
  }
  return fd;
}

int sys_open(int folder, const char *name, sys_way way)
{
  static const DWORD hows[] = {OPEN_EXISTING, OPEN_EXISTING, OPEN_EXISTING, OPEN_ALWAYS,
                               CREATE_NEW};
  bool writes = way >= SYS_CHANGE, follow = way == SYS_READ;
  HANDLE h = open_handle(path_of(folder, name), GENERIC_READ | (writes ? GENERIC_WRITE : 0),
                         hows[way], follow);
  sys_info info;
  if (h == INVALID_HANDLE_VALUE)
    return -1;
  int error = !look(&info, h)            ? errno
              : !follow && info.is_link  ? ELOOP
              : writes && info.is_folder ? EISDIR
                                         : 0;
  if (error == 0)
    return descriptor(h, writes ? _O_RDWR : _O_RDONLY);
  CloseHandle(h);
  errno = error;
  return -1;
}

/* To look at and to list. */
static int open_folder(int folder, const char *name, bool follow)
{
  sys_info info;
  HANDLE h = open_handle(path_of(folder, name), GENERIC_READ, OPEN_EXISTING, follow);
  if (h == INVALID_HANDLE_VALUE)
    return -1;
  if (look(&info, h) && info.is_folder)
    return descriptor(h, _O_RDONLY);
  CloseHandle(h);
  errno = ENOTDIR;
  return -1;
}

int sys_open_folder(const char *path)
{
  return open_folder(SYS_CWD, path, true);
}

bool sys_close(int fd)
{
  return _close(fd) == 0;
}

/* As much as one call takes. */
static DWORD at_most(size_t count)
{
  return count < MAXDWORD ? (DWORD)count : MAXDWORD;
}

static OVERLAPPED place(uint64_t offset)
{
  return (OVERLAPPED){.Offset = (DWORD)offset, .OffsetHigh = (DWORD)(offset >> 32)};
}

int64_t sys_read_at(int fd, void *into, size_t count, uint64_t offset)
{
  OVERLAPPED at = place(offset);
  DWORD n = 0;
  if (ReadFile(handle_of(fd), into, at_most(count), &n, &at) || GetLastError() == ERROR_HANDLE_EOF)
    return n;
  done(FALSE);
  return -1;
}

int64_t sys_write_at(int fd, const void *from, size_t count, uint64_t offset)
{
  OVERLAPPED at = place(offset);
  DWORD n = 0;
  return done(WriteFile(handle_of(fd), from, at_most(count), &n, &at)) ? (int64_t)n : -1;
}

bool sys_flush(int fd)
{
  return done(FlushFileBuffers(handle_of(fd)));
}

/* Names are written through by sys_rename, and kept in order by the file system's own journal. */
bool sys_flush_folder(int fd)
{
  (void)fd;
  return true;
}

bool sys_cut(int fd, uint64_t bytes)
{
  FILE_END_OF_FILE_INFO end = {.EndOfFile = {.QuadPart = (LONGLONG)bytes}};
  return done(SetFileInformationByHandle(handle_of(fd), FileEndOfFileInfo, &end, sizeof end));
}

/* A longer file has its room at once. */
bool sys_reserve(int fd, uint64_t bytes)
{
  return sys_cut(fd, bytes);
}

bool sys_set_mode(int fd, unsigned mode)
{
  (void)fd;
  (void)mode;
  return true;
}

/* Nobody may touch the bytes of a lock: it is on one that no file has. */
bool sys_lock(int fd)
{
  OVERLAPPED at = place(UINT64_C(1) << 62);
  DWORD how = LOCKFILE_EXCLUSIVE_LOCK | LOCKFILE_FAIL_IMMEDIATELY;
  if (LockFileEx(handle_of(fd), how, 0, 1, 0, &at))
    return true;
  bool taken = GetLastError() == ERROR_LOCK_VIOLATION || GetLastError() == ERROR_IO_PENDING;
  return taken ? (errno = EWOULDBLOCK, false) : done(FALSE);
}

uint64_t sys_free_space(const char *folder)
{
  WCHAR *path = absolute(folder);
  ULARGE_INTEGER left;
  bool known = path != NULL && GetDiskFreeSpaceExW(path, &left, NULL, NULL);
  free(path);
  return known ? left.QuadPart : UINT64_MAX;
}

/* ---- names ---- */

bool sys_rename(const char *from, const char *to)
{
  WCHAR *a = absolute(from), *b = a != NULL ? absolute(to) : NULL;
  bool ok = false;
  if (b != NULL) {
    DWORD attributes = GetFileAttributesW(a);
    /* Windows replaces files only; an empty folder makes room first. One with files stays. */
    if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_DIRECTORY) != 0)
      RemoveDirectoryW(b);
    ok = done(MoveFileExW(a, b, MOVEFILE_REPLACE_EXISTING | MOVEFILE_WRITE_THROUGH));
  }
  free(a);
  free(b);
  return ok;
}

bool sys_make_folder(int folder, const char *name)
{
  WCHAR *path = path_of(folder, name);
  bool ok = path != NULL && done(CreateDirectoryW(path, NULL));
  free(path);
  return ok;
}

/* A file that may not be written to may be removed on other systems. */
bool sys_remove(int folder, const char *name)
{
  WCHAR *path = path_of(folder, name);
  DWORD attributes = path != NULL ? GetFileAttributesW(path) : INVALID_FILE_ATTRIBUTES;
  if (attributes != INVALID_FILE_ATTRIBUTES && (attributes & FILE_ATTRIBUTE_READONLY) != 0)
    SetFileAttributesW(path, FILE_ATTRIBUTE_NORMAL);
  bool ok = path != NULL && done(DeleteFileW(path));
  free(path);
  return ok;
}

bool sys_remove_folder(int folder, const char *name)
{
  WCHAR *path = path_of(folder, name);
  bool ok = path != NULL && done(RemoveDirectoryW(path));
  free(path);
  return ok;
}

struct sys_list {
  int folder;
  size_t at; /* of the next entry in `entries`; NONE: there is none */
  char *name;
  union {
    FILE_ID_BOTH_DIR_INFO first; /* for its alignment */
    char bytes[1 << 15];
  } entries;
};

#define NONE SIZE_MAX

sys_list *sys_list_open(int folder, const char *name, bool follow)
{
  sys_list *l = calloc(1, sizeof *l);
  if (l == NULL)
    return NULL;
  l->at = NONE;
  l->folder = open_folder(folder, name, follow);
  if (l->folder >= 0)
    return l;
  free(l);
  return NULL;
}

int sys_list_folder(const sys_list *l)
{
  return l->folder;
}

static const FILE_ID_BOTH_DIR_INFO *next_entry(sys_list *l)
{
  if (l->at == NONE) {
    if (!GetFileInformationByHandleEx(handle_of(l->folder), FileIdBothDirectoryInfo,
                                      l->entries.bytes, sizeof l->entries.bytes)) {
      errno = GetLastError() == ERROR_NO_MORE_FILES ? 0 : errno_of(GetLastError());
      return NULL;
    }
    l->at = 0;
  }
  const FILE_ID_BOTH_DIR_INFO *e = (const void *)(l->entries.bytes + l->at);
  l->at = e->NextEntryOffset != 0 ? l->at + e->NextEntryOffset : NONE;
  return e;
}

const char *sys_list_next(sys_list *l)
{
  for (const FILE_ID_BOTH_DIR_INFO *e; (e = next_entry(l)) != NULL;) {
    free(l->name);
    l->name = to_utf8(e->FileName, e->FileNameLength / sizeof(WCHAR));
    if (l->name == NULL || (strcmp(l->name, ".") != 0 && strcmp(l->name, "..") != 0))
      return l->name;
  }
  return NULL;
}

void sys_list_close(sys_list *l)
{
  if (l == NULL)
    return;
  _close(l->folder);
  free(l->name);
  free(l);
}

/* ---- memory ---- */

void *sys_alloc_aligned(size_t alignment, size_t bytes)
{
  return _aligned_malloc(bytes, alignment);
}

void sys_free_aligned(void *block)
{
  _aligned_free(block);
}

/* ---- process and terminal ---- */

static UINT console_was;

static void restore_console(void)
{
  SetConsoleOutputCP(console_was);
}

/* The arguments stay until the process ends. */
bool sys_start(int *argc, char ***argv)
{
  int count = 0;
  WCHAR **wide = CommandLineToArgvW(GetCommandLineW(), &count);
  char **list = wide != NULL ? calloc((size_t)count + 1, sizeof *list) : NULL;
  bool ok = list != NULL;
  for (int i = 0; ok && i < count; i++)
    ok = (list[i] = to_utf8(wide[i], wcslen(wide[i]))) != NULL;
  LocalFree(wide);
  if (!ok)
    return false;
  *argc = count;
  *argv = list;
  console_was = GetConsoleOutputCP();
  if (console_was != 0 && SetConsoleOutputCP(CP_UTF8))
    atexit(restore_console);
  return _setmode(_fileno(stdout), _O_BINARY) != -1 && _setmode(_fileno(stderr), _O_BINARY) != -1;
}

static void (*on_signal)(int);

/* On a thread of its own. */
static BOOL WINAPI on_console(DWORD event)
{
  on_signal(event == CTRL_C_EVENT ? SIGINT : SIGTERM);
  if (event == CTRL_CLOSE_EVENT)
    Sleep(INFINITE); /* the process would end on return: let main tidy up before Windows ends it */
  return TRUE;
}

bool sys_catch(void (*handler)(int))
{
  on_signal = handler;
  return done(SetConsoleCtrlHandler(on_console, TRUE));
}

long sys_process(void)
{
  return (long)GetCurrentProcessId();
}

unsigned sys_processors(void)
{
  DWORD n = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
  return n > 0 ? (unsigned)n : 1;
}

double sys_seconds(void)
{
  LARGE_INTEGER now, per_second;
  QueryPerformanceCounter(&now);
  QueryPerformanceFrequency(&per_second);
  return (double)now.QuadPart / (double)per_second.QuadPart;
}

int sys_terminal_columns(void)
{
  HANDLE h = GetStdHandle(STD_ERROR_HANDLE);
  CONSOLE_SCREEN_BUFFER_INFO info;
  DWORD mode;
  /* what is drawn erases its line with a control sequence */
  if (!GetConsoleMode(h, &mode) || !SetConsoleMode(h, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING))
    return 0;
  return GetConsoleScreenBufferInfo(h, &info) ? info.srWindow.Right - info.srWindow.Left + 1 : 80;
}

#else
typedef int system_windows_is_empty; /* ISO C wants a declaration */
#endif
