/*
 * Two filters on libmilter to measure Postroom against.
 *
 *   filter noop  SOCKET          hears all of every message and accepts it
 *   filter fsync SOCKET FOLDER   does so, adds two header fields, and writes each message to a
 *                                file of its own, which is synced before the verdict
 *
 * What cannot go on ends with a word to standard error: a measurement has no use for less.
 */

#include <fcntl.h>
#include <libmilter/mfapi.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What has come of one message. */
struct message {
    unsigned char *bytes;
    size_t used;
    size_t room;
};

/* Where messages are kept, or nothing. */
static const char *folder;

static atomic_ulong number;

static void stop(const char *what)
{
    perror(what);
    exit(1);
}

static void append(SMFICTX *connection, const void *bytes, size_t size)
{
    struct message *message = smfi_getpriv(connection);

    if (message == NULL) {
        message = calloc(1, sizeof *message);
        if (message == NULL)
            stop("calloc");
        smfi_setpriv(connection, message);
    }
    if (message->room - message->used < size) {
        message->room = 2 * (message->used + size);
        message->bytes = realloc(message->bytes, message->room);
        if (message->bytes == NULL)
            stop("realloc");
    }
    memcpy(message->bytes + message->used, bytes, size);
    message->used += size;
}

static void forget(SMFICTX *connection)
{
    struct message *message = smfi_getpriv(connection);

    if (message != NULL) {
        free(message->bytes);
        free(message);
        smfi_setpriv(connection, NULL);
    }
}

/* Writes the message to a new file; it is on the disk when this returns. */
static void keep(const struct message *message)
{
    char path[4096];
    int file;

    snprintf(path, sizeof path, "%s/%lu", folder, atomic_fetch_add(&number, 1));
    file = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (file < 0)
        stop(path);
    if (write(file, message->bytes, message->used) != (ssize_t) message->used)
        stop("write");
    if (fsync(file) != 0 || close(file) != 0)
        stop("fsync");
}

static sfsistat on_connect(SMFICTX *connection, char *host, _SOCK_ADDR *address)
{
    (void) connection, (void) host, (void) address;
    return SMFIS_CONTINUE;
}

static sfsistat on_helo(SMFICTX *connection, char *name)
{
    (void) connection, (void) name;
    return SMFIS_CONTINUE;
}

static sfsistat on_envelope(SMFICTX *connection, char **arguments)
{
    (void) connection, (void) arguments;
    return SMFIS_CONTINUE;
}

static sfsistat on_header(SMFICTX *connection, char *name, char *value)
{
    if (folder != NULL) {
        append(connection, name, strlen(name));
        append(connection, ": ", 2);
        append(connection, value, strlen(value));
        append(connection, "\r\n", 2);
    }
    return SMFIS_CONTINUE;
}

static sfsistat on_end_of_headers(SMFICTX *connection)
{
    if (folder != NULL)
        append(connection, "\r\n", 2);
    return SMFIS_CONTINUE;
}

static sfsistat on_body(SMFICTX *connection, unsigned char *piece, size_t size)
{
    if (folder != NULL)
        append(connection, piece, size);
    return SMFIS_CONTINUE;
}

static sfsistat on_end(SMFICTX *connection)
{
    if (folder != NULL) {
        keep(smfi_getpriv(connection));
        smfi_insheader(connection, 1, "X-Bench-Queue", "support");
        smfi_insheader(connection, 1, "X-Bench-Case", "42");
        forget(connection);
    }
    return SMFIS_ACCEPT;
}

static sfsistat on_abort(SMFICTX *connection)
{
    forget(connection);
    return SMFIS_CONTINUE;
}

int main(int count, char **arguments)
{
    struct smfiDesc filter = {
        .xxfi_name = "bench",
        .xxfi_version = SMFI_VERSION,
        .xxfi_flags = SMFIF_ADDHDRS,
        .xxfi_connect = on_connect,
        .xxfi_helo = on_helo,
        .xxfi_envfrom = on_envelope,
        .xxfi_envrcpt = on_envelope,
        .xxfi_header = on_header,
        .xxfi_eoh = on_end_of_headers,
        .xxfi_body = on_body,
        .xxfi_eom = on_end,
        .xxfi_abort = on_abort,
        .xxfi_close = on_abort,
    };

    if (count == 4 && strcmp(arguments[1], "fsync") == 0) {
        folder = arguments[3];
    } else if (count != 3 || strcmp(arguments[1], "noop") != 0) {
        fputs("usage: filter noop SOCKET | filter fsync SOCKET FOLDER\n", stderr);
        return 64;
    }
    umask(0);
    if (smfi_setconn(arguments[2]) != MI_SUCCESS || smfi_register(filter) != MI_SUCCESS)
        stop("libmilter");
    return smfi_main() == MI_SUCCESS ? 0 : 1;
}
