/* Progress on a terminal: a pair of pseudo-terminals, of which one end is standard error. */
#define _XOPEN_SOURCE 700 /* posix_openpt */
#define _DEFAULT_SOURCE   /* struct winsize */

#include "test_files.h"

#ifdef _WIN32

int main(void)
{
  puts("no pseudo-terminals");
  return 77;
}

#else

#include "../src/ui/progress.h"

#include <errno.h>
#include <sys/ioctl.h>

static int ours = -1, kept = -1;
static char shown[1 << 16];

/* What has been drawn since the last call. */
static const char *drawn(void)
{
  size_t n = 0;
  ssize_t got;
  fflush(stderr);
  while (n < sizeof shown - 1 && (got = read(ours, shown + n, sizeof shown - 1 - n)) > 0)
    n += (size_t)got;
  shown[n] = 0;
  return shown;
}

static bool set_columns(unsigned short columns)
{
  const struct winsize size = {.ws_row = 24, .ws_col = columns};
  return ioctl(ours, TIOCSWINSZ, &size) == 0;
}

/* Long enough for the next line to be drawn. */
static void wait_for_line(void)
{
  for (double from = sys_seconds(); sys_seconds() - from < 0.12;)
    continue;
}

static void check_columns(void)
{
  CHECK(set_columns(57) && sys_terminal_columns() == 57, "%d", sys_terminal_columns());
  CHECK(set_columns(0) && sys_terminal_columns() == 80, "%d", sys_terminal_columns());
  CHECK(setenv("TERM", "dumb", 1) == 0 && sys_terminal_columns() == 0, "a dumb one");
  CHECK(unsetenv("TERM") == 0 && sys_terminal_columns() == 80, "of no name");
  CHECK(setenv("TERM", "xterm", 1) == 0 && sys_terminal_columns() == 80, "xterm");
}

static void check_bar(void)
{
  progress p;
  CHECK(set_columns(200), "200 columns");
  progress_start(&p, "quantizing", 1000, false);
  progress_item(&p, "model.\x1b[2J\xC3\xA9");
  const char *text = drawn();
  CHECK(strstr(text, "\rquantizing [........................]   0%") != NULL, "%s", text);
  CHECK(strstr(text, "model.\\x1b[2J\xC3\xA9\x1b[K") != NULL, "%s", text);
  progress_add(&p, 250);
  CHECK(*drawn() == 0, "too soon for another line");
  wait_for_line();
  progress_add(&p, 250);
  text = drawn();
  CHECK(strstr(text, "[############............]  50%") != NULL, "%s", text);
  CHECK(strstr(text, "B/s") != NULL && strstr(text, " left") != NULL, "%s", text);
  progress_note(&p, "%s", "a note");
  CHECK(strcmp(drawn(), "\r\x1b[Ka note\r\n") == 0, "%s", shown);
  progress_finish(&p);
  CHECK(*drawn() == 0, "nothing to erase");
  wait_for_line();
  progress_add(&p, 5000);
  CHECK(strstr(drawn(), "[########################] 100%") != NULL, "more than all: %s", shown);
  progress_finish(&p);
  CHECK(strcmp(drawn(), "\r\x1b[K") == 0, "erased");
}

/* Narrow, with another unit, and of nothing. */
static void check_narrow(void)
{
  progress p;
  CHECK(set_columns(12), "12 columns");
  progress_start(&p, "\xC3\xA9valuating", 0, false);
  progress_unit(&p, "tokens");
  progress_item(&p, "x");
  CHECK(strcmp(drawn(), "\r\xC3\xA9valuating \x1b[K") == 0, "%s", shown);
  CHECK(set_columns(120), "120 columns");
  wait_for_line();
  progress_add(&p, 100);
  CHECK(strstr(drawn(), " tokens/s") != NULL, "%s", shown);
  progress_finish(&p);
  progress_start(&p, "quiet", 10, true);
  progress_item(&p, "x");
  progress_add(&p, 10);
  progress_note(&p, "nothing");
  progress_finish(&p);
  CHECK(strstr(drawn(), "nothing") == NULL, "%s", shown);
}

int main(void)
{
  ours = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK);
  const char *name = ours >= 0 && grantpt(ours) == 0 && unlockpt(ours) == 0 ? ptsname(ours) : NULL;
  int theirs = name != NULL ? open(name, O_RDWR | O_NOCTTY) : -1;
  if (theirs < 0) {
    puts("no pseudo-terminals");
    return 77;
  }
  kept = dup(STDERR_FILENO);
  CHECK(dup2(theirs, STDERR_FILENO) == STDERR_FILENO && setenv("TERM", "xterm", 1) == 0, "stderr");
  check_columns();
  check_bar();
  check_narrow();
  dup2(kept, STDERR_FILENO);
  return test_end();
}

#endif
