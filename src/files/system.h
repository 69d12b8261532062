/*
 * system.h - all that the tool asks of the operating system. system_posix.c and system_windows.c
 * answer, system_linux.c where Linux has more than others.
 *
 * Owns: descriptors, and how a path is spelled. Must not know: formats, messages.
 *
 * Paths and names are UTF-8. A function that fails returns false, -1 or NULL and leaves the reason
 * in errno, for fail_system. All of it is for any thread. Threads themselves are not here: the tool
 * uses those of POSIX, which Windows has as a library.
 */
#ifndef QUANT_FILES_SYSTEM_H
#define QUANT_FILES_SYSTEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In place of an open folder: the name is a path, as the user gave it. */
#define SYS_CWD (-100)

/* ---- what a name stands for ---- */

typedef struct sys_info {
  bool is_file, is_folder, is_link; /* none of them: a pipe, a device */
  unsigned mode;                    /* permissions; 0 where the system has none */
  uint64_t bytes;
  uint64_t links;               /* names that the file has; 0 once it is removed */
  uint64_t device, id;          /* see sys_same; `id` stays when the name changes */
  int64_t seconds, nanoseconds; /* when the contents changed, since 1970 */
} sys_info;

/* Of a name in an open folder; `follow` looks through a symbolic link. */
bool sys_look(sys_info *out, int folder, const char *name, bool follow);
bool sys_look_open(sys_info *out, int fd);

/* Are they the same file or folder, whatever it is called? */
bool sys_same(const sys_info *a, const sys_info *b);

/* ---- open files ---- */

/* What a name is opened for. Only SYS_READ follows a link at the end of the path, for the others
 * the error is ELOOP. Opening a pipe does not wait for its other end. */
typedef enum sys_way {
  SYS_READ,
  SYS_READ_PLAIN,       /* SYS_READ without links */
  SYS_CHANGE,           /* reading and writing what is there */
  SYS_CHANGE_OR_CREATE, /* or a new empty file */
  SYS_CREATE            /* a new one: EEXIST when there is anything */
} sys_way;

int sys_open(int folder, const char *name, sys_way way);
int sys_open_folder(const char *path); /* ENOTDIR when it is something else */
bool sys_close(int fd);                /* false: what was written may be lost */

/* One call: the count, which may be short; -1 on an error, EINTR among them. */
int64_t sys_read_at(int fd, void *into, size_t count, uint64_t offset);
int64_t sys_write_at(int fd, const void *from, size_t count, uint64_t offset);

bool sys_flush(int fd);                      /* contents, onto the disk */
bool sys_flush_folder(int fd);               /* names in it, where the system does not by itself */
bool sys_reserve(int fd, uint64_t bytes);    /* room on the disk, where it can be had beforehand */
bool sys_cut(int fd, uint64_t bytes);        /* makes the file that long */
bool sys_set_mode(int fd, unsigned mode);    /* nothing where there are no permissions */
bool sys_lock(int fd);                       /* until it is closed; EWOULDBLOCK: another has it */
uint64_t sys_free_space(const char *folder); /* UINT64_MAX when nobody knows */

/* ---- names ---- */

/* Replaces a file, or an empty folder by a folder; in one step where the system can. */
bool sys_rename(const char *from, const char *to);

/* Two names for each other's contents at one moment. ENOSYS or EINVAL where that cannot be. */
bool sys_exchange(const char *a, const char *b);

bool sys_make_folder(int folder, const char *name);
bool sys_remove(int folder, const char *name); /* a file; who has it open keeps it */
bool sys_remove_folder(int folder, const char *name);

/* The names in a folder but "." and "..", in no order; names may be removed meanwhile. Without
 * `follow` the folder must not be behind a link. */
typedef struct sys_list sys_list;
sys_list *sys_list_open(int folder, const char *name, bool follow);
int sys_list_folder(const sys_list *l); /* the folder, open until sys_list_close */

/* Valid until the next call. NULL is the end, or with another errno than 0 a failure. */
const char *sys_list_next(sys_list *l);
void sys_list_close(sys_list *l); /* NULL is fine */

/* ---- spelling of paths ---- */

bool sys_is_separator(char c);

/* Where the last part of a path begins: after the last separator, at its start without one. */
const char *sys_last_part(const char *path);

/* Can it be the name of a file in a folder? Not if it is empty, "." or "..", or leads elsewhere. */
bool sys_is_name(const char *name);

/* ---- memory ---- */

enum { SYS_HUGE_PAGE = 1 << 21 };

/* `bytes` is a multiple of `alignment`, a power of two. Freed by sys_free_aligned alone. */
void *sys_alloc_aligned(size_t alignment, size_t bytes);
void sys_free_aligned(void *block);

/* Asks for huge pages under a block aligned to SYS_HUGE_PAGE that nobody has written to yet. */
void sys_prefer_huge(void *block, size_t bytes);

/* ---- process and terminal ---- */

/* First of all in main: arguments as UTF-8, output as it is written. */
bool sys_start(int *argc, char ***argv);

/* `handler` gets SIGINT and SIGTERM; a closed pipe and a file over its limit become errors. */
bool sys_catch(void (*handler)(int));

long sys_process(void);         /* its number */
unsigned sys_processors(void);  /* at least 1 */
double sys_seconds(void);       /* of a clock that only goes forward */
int sys_terminal_columns(void); /* of standard error; 0 when it is no terminal to draw on */
void sys_error_text(char *out, size_t size, int error);

#endif
