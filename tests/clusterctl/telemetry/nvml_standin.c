/* A stand-in for libnvidia-ml.so.1: NVML's own functions and structs, played from a script that a test rewrites.
 *
 * The file named by NVML_SCRIPT is read again whenever it changes.  One setting a line:
 *   gpus 8 | driver 560.35.03 | loaded 1 | generation 1 (another one: the driver was restarted) | mismatch 1
 *   unsupported nvmlDeviceGetTemperature | field_unsupported 83 | gpm 1
 *   gpu 3 util 87          also memory_util, used_mib, power_mw, temperature, ecc, ecc_fatal, remapped, nvlink_kib_per_s
 *   gpu 3 pid 1234 4000    a process and its MiB; may repeat
 *   gpu 3 lost 1 | gpu 3 delay_ms 2000 | gpu 3 xid 79 (each new line count of them is a new event) | gpu 3 mig 2
 *   mig 3 1 util 50        instance 1 of GPU 3; used_mib and pid too
 * Counters rise with time: energy by power_mw, NVLink by nvlink_kib_per_s.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <pthread.h>

#define MAX_GPUS 16
#define MAX_MIG 7
#define MAX_PIDS 16
enum { OK = 0, UNINITIALIZED = 1, INVALID = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6, SMALL = 7, NOT_LOADED = 9, TIMED_OUT = 10,
       LOST = 15, MISMATCH = 18 };

struct device {
    int index, mig, lost, delay_ms, instances, xids, xid, pids;
    unsigned util, memory_util, used_mib, power_mw, temperature, ecc, ecc_fatal, remapped, nvlink_kib_per_s;
    unsigned pid[MAX_PIDS], mib[MAX_PIDS];
};
struct script {
    int gpus, loaded, generation, mismatch, gpm;
    char driver[80], unsupported[1024], fields[256];
    struct device gpu[MAX_GPUS], mig[MAX_GPUS][MAX_MIG];
};
struct event_set { int registered[MAX_GPUS], seen[MAX_GPUS]; };
struct sample { struct device *device; };

static struct script now;
static struct stat last;
static int opened_generation = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static double seconds(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void set(struct device *d, const char *key, const char *rest) {
    unsigned value = (unsigned)strtoul(rest, NULL, 10);
    if (!strcmp(key, "util")) d->util = value;
    else if (!strcmp(key, "memory_util")) d->memory_util = value;
    else if (!strcmp(key, "used_mib")) d->used_mib = value;
    else if (!strcmp(key, "power_mw")) d->power_mw = value;
    else if (!strcmp(key, "temperature")) d->temperature = value;
    else if (!strcmp(key, "ecc")) d->ecc = value;
    else if (!strcmp(key, "ecc_fatal")) d->ecc_fatal = value;
    else if (!strcmp(key, "remapped")) d->remapped = value;
    else if (!strcmp(key, "nvlink_kib_per_s")) d->nvlink_kib_per_s = value;
    else if (!strcmp(key, "lost")) d->lost = value;
    else if (!strcmp(key, "delay_ms")) d->delay_ms = value;
    else if (!strcmp(key, "mig")) d->instances = value;
    else if (!strcmp(key, "xid")) { d->xid = value; d->xids++; }
    else if (!strcmp(key, "pid") && d->pids < MAX_PIDS) {
        sscanf(rest, "%u %u", &d->pid[d->pids], &d->mib[d->pids]);
        d->pids++;
    }
}

static void read_script(void) {
    const char *path = getenv("NVML_SCRIPT");
    struct stat found;
    char line[160], key[64], rest[80];
    int i, j;
    if (!path || stat(path, &found) || (found.st_ino == last.st_ino && found.st_mtim.tv_nsec == last.st_mtim.tv_nsec &&
                                        found.st_mtim.tv_sec == last.st_mtim.tv_sec)) return;
    FILE *file = fopen(path, "r");
    if (!file) return;
    last = found;
    struct script next = {.loaded = 1, .driver = "560.35.03"};
    for (i = 0; i < MAX_GPUS; i++) {
        next.gpu[i] = (struct device){.index = i, .mig = -1, .power_mw = 120000, .temperature = 35, .used_mib = 500};
        for (j = 0; j < MAX_MIG; j++) next.mig[i][j] = (struct device){.index = i, .mig = j, .used_mib = 20};
    }
    while (fgets(line, sizeof line, file)) {
        rest[0] = 0;
        if (sscanf(line, "gpu %d %63s %79[^\n]", &i, key, rest) >= 2) set(&next.gpu[i % MAX_GPUS], key, rest);
        else if (sscanf(line, "mig %d %d %63s %79[^\n]", &i, &j, key, rest) >= 3) set(&next.mig[i % MAX_GPUS][j % MAX_MIG], key, rest);
        else if (sscanf(line, "%63s %79[^\n]", key, rest) == 2) {
            if (!strcmp(key, "gpus")) next.gpus = atoi(rest);
            if (!strcmp(key, "loaded")) next.loaded = atoi(rest);
            if (!strcmp(key, "generation")) next.generation = atoi(rest);
            if (!strcmp(key, "mismatch")) next.mismatch = atoi(rest);
            if (!strcmp(key, "gpm")) next.gpm = atoi(rest);
            if (!strcmp(key, "driver")) snprintf(next.driver, sizeof next.driver, "%s", rest);
            if (!strcmp(key, "unsupported")) { strcat(next.unsupported, rest); strcat(next.unsupported, ";"); }
            if (!strcmp(key, "field_unsupported")) { strcat(next.fields, " "); strcat(next.fields, rest); strcat(next.fields, ";"); }
        }
    }
    fclose(file);
    now = next;
}

static int enter(const char *name, struct device *d) {
    char wanted[128];
    pthread_mutex_lock(&lock);
    read_script();
    int delay = d ? d->delay_ms : 0, result = OK;
    snprintf(wanted, sizeof wanted, "%s;", name);
    if (opened_generation != now.generation || !now.loaded) result = UNINITIALIZED;
    else if (d && (d->lost || d->index >= now.gpus)) result = LOST;
    else if (strstr(now.unsupported, wanted)) result = NOT_SUPPORTED;
    pthread_mutex_unlock(&lock);
    if (delay) usleep(delay * 1000);
    return result;
}
#define ENTER(d) do { int r_ = enter(__func__, (struct device *)(d)); if (r_) return r_; } while (0)

int nvmlInitWithFlags(unsigned flags) {
    (void)flags;
    pthread_mutex_lock(&lock);
    read_script();
    int result = now.mismatch ? MISMATCH : now.loaded ? OK : NOT_LOADED;
    if (result == OK) opened_generation = now.generation;
    pthread_mutex_unlock(&lock);
    return result;
}
int nvmlShutdown(void) { int was = opened_generation; opened_generation = -1; return was < 0 ? UNINITIALIZED : OK; }
const char *nvmlErrorString(int code) { (void)code; return "as the stand-in says"; }
int nvmlSystemGetDriverVersion(char *text, unsigned size) { ENTER(NULL); snprintf(text, size, "%s", now.driver); return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { ENTER(NULL); *count = now.gpus; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    if (index >= MAX_GPUS) return INVALID;
    ENTER(&now.gpu[index]);
    *handle = &now.gpu[index];
    return OK;
}
int nvmlDeviceGetName(struct device *d, char *text, unsigned size) {
    ENTER(d);
    if (d->mig < 0) snprintf(text, size, "NVIDIA H100 80GB HBM3");
    else snprintf(text, size, "NVIDIA H100 80GB HBM3 MIG 1g.10gb");
    return OK;
}
int nvmlDeviceGetUUID(struct device *d, char *text, unsigned size) {
    ENTER(d);
    if (d->mig < 0) snprintf(text, size, "GPU-00000000-0000-0000-0000-%012d", d->index);
    else snprintf(text, size, "MIG-00000000-0000-0000-%04d-%012d", d->mig, d->index);
    return OK;
}
struct pci { char legacy[16]; unsigned domain, bus, device, id, subsystem; char bus_id[32]; };
int nvmlDeviceGetPciInfo_v3(struct device *d, struct pci *pci) {
    ENTER(d);
    memset(pci, 0, sizeof *pci);
    snprintf(pci->bus_id, sizeof pci->bus_id, "00000000:%02X:00.0", d->index + 1);
    return OK;
}
int nvmlDeviceGetMinorNumber(struct device *d, unsigned *minor) { ENTER(d); *minor = d->index; return OK; }
int nvmlDeviceGetEnforcedPowerLimit(struct device *d, unsigned *mw) { ENTER(d); if (d->mig >= 0) return NOT_SUPPORTED; *mw = 700000; return OK; }

static uint64_t total_mib(struct device *d) { return d->mig < 0 ? 81559 : 9984; }
struct memory { uint64_t total, free, used; };
int nvmlDeviceGetMemoryInfo(struct device *d, struct memory *m) {
    ENTER(d);
    m->total = total_mib(d) << 20; m->used = (uint64_t)d->used_mib << 20; m->free = m->total - m->used;
    return OK;
}
struct rates { unsigned gpu, memory; };
int nvmlDeviceGetUtilizationRates(struct device *d, struct rates *rates) {
    ENTER(d);
    if (d->mig >= 0 || d->instances) return NOT_SUPPORTED;
    rates->gpu = d->util; rates->memory = d->memory_util;
    return OK;
}
#define ONE(name, expression) int name(struct device *d, unsigned *value) { ENTER(d); if (d->mig >= 0) return NOT_SUPPORTED; *value = (expression); return OK; }
#define OF(name, expression) int name(struct device *d, int kind, unsigned *value) { ENTER(d); if (d->mig >= 0) return NOT_SUPPORTED; *value = (expression); return OK; }
#define TWO(name, a, b) int name(struct device *d, unsigned *one, unsigned *two) { ENTER(d); if (d->mig >= 0) return NOT_SUPPORTED; *one = (a); *two = (b); return OK; }
ONE(nvmlDeviceGetPowerUsage, d->power_mw)
OF(nvmlDeviceGetTemperature, d->temperature + kind)
OF(nvmlDeviceGetClockInfo, kind == 1 ? (d->util ? 1980 : 345) : 2619)
OF(nvmlDeviceGetPcieThroughput, kind ? 2000 : 1000)
TWO(nvmlDeviceGetEncoderUtilization, 0, 167000)
TWO(nvmlDeviceGetDecoderUtilization, 0, 167000)

struct value { uint32_t id, scope; int64_t timestamp, latency; uint32_t type, result; union { uint32_t u; uint64_t ull; } v; };
int nvmlDeviceGetFieldValues(struct device *d, int count, struct value *values) {
    ENTER(d);
    for (int i = 0; i < count; i++) {
        struct value *v = &values[i];
        char wanted[16];
        snprintf(wanted, sizeof wanted, " %u;", v->id);
        v->type = 3; v->result = OK; v->v.ull = 0;
        switch (v->id) {
        case 82: v->type = 1; v->v.u = d->temperature + 10; break;
        case 83: v->v.ull = (uint64_t)(d->power_mw * seconds()); break;
        case 3: v->v.ull = d->ecc; break;
        case 4: v->v.ull = d->ecc_fatal; break;
        case 94: v->type = 1; v->v.u = 0; break;
        case 138: case 139: v->v.ull = (uint64_t)(d->nvlink_kib_per_s / 2.0 * seconds()); break;
        case 142: case 145: v->type = 1; v->v.u = 0; break;
        case 143: v->type = 1; v->v.u = d->remapped; break;
        case 197: case 198: v->v.ull = (uint64_t)(1024000.0 * seconds()); break;
        default: v->result = INVALID;
        }
        if (d->mig >= 0 || strstr(now.fields, wanted)) v->result = NOT_SUPPORTED;
    }
    return OK;
}
struct process { unsigned pid; uint64_t bytes; unsigned instance, compute; };
static int processes(struct device *d, unsigned *count, struct process *list) {
    if (d->pids && *count < (unsigned)d->pids) { *count = d->pids; return SMALL; }
    for (int i = 0; i < d->pids; i++) list[i] = (struct process){d->pid[i], (uint64_t)d->mib[i] << 20, 0, 0};
    *count = d->pids;
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v2(struct device *d, unsigned *count, struct process *list) { ENTER(d); return processes(d, count, list); }

int nvmlEventSetCreate(struct event_set **set) { ENTER(NULL); *set = calloc(1, sizeof **set); return OK; }
int nvmlEventSetFree(struct event_set *set) { free(set); return OK; }
int nvmlDeviceRegisterEvents(struct device *d, unsigned long long types, struct event_set *set) {
    ENTER(d);
    (void)types;
    set->registered[d->index] = 1;
    set->seen[d->index] = d->xids;
    return OK;
}
struct event { struct device *device; unsigned long long type, data; unsigned instance, compute; };
int nvmlEventSetWait_v2(struct event_set *set, struct event *event, unsigned timeout_ms) {
    ENTER(NULL);
    (void)timeout_ms;
    for (int i = 0; i < MAX_GPUS; i++)
        if (set->registered[i] && now.gpu[i].xids > set->seen[i]) {
            set->seen[i] = now.gpu[i].xids;
            *event = (struct event){&now.gpu[i], 8, now.gpu[i].xid, 0xFFFFFFFF, 0xFFFFFFFF};
            return OK;
        }
    return TIMED_OUT;
}
#ifndef OLD_DRIVER
struct memory2 { unsigned version; uint64_t total, reserved, free, used; };
int nvmlDeviceGetMemoryInfo_v2(struct device *d, struct memory2 *m) {
    ENTER(d);
    if (m->version != 0x02000028) return 25;
    m->total = total_mib(d) << 20; m->reserved = 600ull << 20; m->used = (uint64_t)d->used_mib << 20;
    m->free = m->total - m->reserved - m->used;
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(struct device *d, unsigned *count, struct process *list) { ENTER(d); return processes(d, count, list); }
TWO(nvmlDeviceGetMigMode, d->instances > 0, d->instances > 0)
int nvmlDeviceGetMaxMigDeviceCount(struct device *d, unsigned *count) { ENTER(d); *count = MAX_MIG; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(struct device *d, unsigned index, void **handle) {
    ENTER(d);
    if ((int)index >= d->instances) return NOT_FOUND;
    *handle = &now.mig[d->index][index];
    return OK;
}
int nvmlDeviceGetGpuInstanceId(struct device *d, unsigned *id) { ENTER(d); *id = d->mig + 7; return OK; }
struct support { unsigned version, supported; };
int nvmlGpmQueryDeviceSupport(struct device *d, struct support *support) { ENTER(d); support->supported = now.gpm; return OK; }
int nvmlGpmSampleAlloc(struct sample **sample) { *sample = calloc(1, sizeof **sample); return OK; }
int nvmlGpmSampleFree(struct sample *sample) { free(sample); return OK; }
int nvmlGpmSampleGet(struct device *d, struct sample *sample) { ENTER(d); sample->device = d; return OK; }
int nvmlGpmMigSampleGet(struct device *d, unsigned id, struct sample *sample) { ENTER(d); sample->device = &now.mig[d->index][id - 7]; return OK; }
struct metric { unsigned id, result; double value; const char *names[3]; };
struct metrics { unsigned version, count; struct sample *one, *two; struct metric metric[]; };
int nvmlGpmMetricsGet(struct metrics *asked) {
    if (asked->version != 1) return 25;
    for (unsigned i = 0; i < asked->count; i++) {
        asked->metric[i].result = OK;
        asked->metric[i].value = asked->two->device->util / (asked->metric[i].id == 5 ? 2.0 : 1.0);
    }
    return OK;
}
#endif
