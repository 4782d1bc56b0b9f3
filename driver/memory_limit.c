// In: /proc/meminfo, /proc/self/cgroup and the files of the cgroups it names, RLIMIT_AS. Out: the tightest of them.
//
//     cgroup v2   0::/job/7              /sys/fs/cgroup/job/7/memory.max, .current, .stat; and so up to the root
//     cgroup v1   4:memory:/job/7        /sys/fs/cgroup/memory/job/7/memory.limit_in_bytes, memory.usage_in_bytes, ...
//
// A container may see its own cgroup as the root of the tree: folders that are not there are left out. Pages of files
// that were not used lately count as free, as they do in MemAvailable.
#include "driver/memory_limit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

// The number behind `key` at the start of a line, or the first number of the file for an empty key; -1 when absent.
static double read_number(const char *path, const char *key) {
    FILE *file = fopen(path, "r");
    if (!file) return -1;
    char line[256];
    double number = -1;
    size_t length = strlen(key);
    while (number < 0 && fgets(line, sizeof line, file)) {
        if (strncmp(line, key, length) != 0) continue;
        char *end;
        number = strtod(line + length, &end);
        if (end == line + length) number = -1; // "max"
    }
    fclose(file);
    return number;
}

static void tighten(MemoryLimit *limit, double bytes, const char *by) {
    if (bytes < 1) bytes = 1; // 0 says unknown
    if (limit->bytes == 0 || bytes < limit->bytes) *limit = (MemoryLimit){bytes, by};
}

// The names of the three files in one version.
typedef struct {
    const char *mount, *most, *used, *idle;
} CgroupFiles;
static const CgroupFiles version_1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
                                      "total_inactive_file "};
static const CgroupFiles version_2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file "};

static void read_cgroup(MemoryLimit *limit, const char *folder, const CgroupFiles *files) {
    char path[PATH_SIZE + 64];
    snprintf(path, sizeof path, "%s/%s", folder, files->most);
    double most = read_number(path, "");
    snprintf(path, sizeof path, "%s/%s", folder, files->used);
    double used = read_number(path, "");
    if (most < 0 || used < 0) return;
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    double idle = read_number(path, files->idle);
    tighten(limit, most - used + (idle > 0 ? idle : 0), "its cgroup");
}

// The cgroup and all that it lies in.
static void read_cgroups(MemoryLimit *limit, const char *root, const char *path, const CgroupFiles *files) {
    char folder[PATH_SIZE];
    int length = snprintf(folder, sizeof folder, "%s%s%s", root, files->mount, path);
    if (length < 0 || length >= (int)sizeof folder) return;
    size_t mount = strlen(root) + strlen(files->mount);
    for (;;) {
        read_cgroup(limit, folder, files);
        if (strlen(folder) <= mount) return;
        char *slash = strrchr(folder, '/');
        *slash = '\0';
    }
}

// A line is NUMBER:CONTROLLERS:PATH; those of version 2 have no controllers.
static void read_membership(MemoryLimit *limit, const char *root, char *line) {
    char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path) return;
    *path++ = '\0';
    path[strcspn(path, "\n")] = '\0';
    controllers++;
    if (!*controllers) read_cgroups(limit, root, path, &version_2);
    for (char *name = strtok(controllers, ","); name; name = strtok(NULL, ","))
        if (strcmp(name, "memory") == 0) read_cgroups(limit, root, path, &version_1);
}

static void read_memberships(MemoryLimit *limit, const char *root) {
    char path[PATH_SIZE], line[PATH_SIZE];
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof line, file))
        read_membership(limit, root, line);
    if (file) fclose(file);
}

static void read_resource_limit(MemoryLimit *limit, const char *root) {
    struct rlimit resource;
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/proc/self/statm", root);
    double pages = read_number(path, "");
    if (getrlimit(RLIMIT_AS, &resource) != 0 || resource.rlim_cur == RLIM_INFINITY || pages < 0) return;
    tighten(limit, (double)resource.rlim_cur - pages * (double)sysconf(_SC_PAGESIZE), "ulimit -v");
}

MemoryLimit memory_limit(const char *root) {
    MemoryLimit limit = {0};
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    double kilobytes = read_number(path, "MemAvailable:");
    if (kilobytes >= 0) tighten(&limit, 1024 * kilobytes, "the machine");
    read_memberships(&limit, root);
    read_resource_limit(&limit, root);
    return limit;
}

bool memory_fits(double bytes) {
    MemoryLimit limit = memory_limit("");
    return limit.bytes == 0 || bytes <= limit.bytes;
}
