/* Round trips between two C threads.

       ping_pong futex|condvar|spin CAPACITY hot WARMUP BATCHES BATCH PLACE
       ping_pong futex|condvar|spin CAPACITY parked WARMUP COUNT PAUSE_US HOLD_US PLACE

   CAPACITY is ignored.  PLACE is 0 to run anywhere, 1 to keep each thread on a
   processor of its own, 2 to keep both on one.  Prints microseconds, a line for
   each batch (the mean of its round trips) or each round trip; measure/loops.py
   says what exactly is measured.  A mailbox holds one message; that is enough,
   as there is never more than one in flight. */

#define _GNU_SOURCE
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* A spinning thread whose peer has no processor gives up its own after so many
   looks; with two free processors this never happens. */
#define SPINS 2000

/* The status when this machine does not have what is asked for. */
#define UNAVAILABLE 69

enum {ANYWHERE, APART, TOGETHER};

typedef struct {
    _Alignas(128) _Atomic uint32_t full;
    int message;
    pthread_mutex_t mutex;
    pthread_cond_t arrived;
} Mailbox;

typedef struct {
    void (*send)(Mailbox *box, int message);
    int (*receive)(Mailbox *box);
} Flavour;

static Mailbox there, back;
static Flavour flavour;
static long count;              /* of all round trips, the warm-up included */
static long pause_us, hold_us;
static long place;
static int64_t *held;           /* nanoseconds, of each round trip */


/* --- mailboxes --- */

static void
futex(_Atomic uint32_t *word, int operation, uint32_t value)
{
    syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void
futex_send(Mailbox *box, int message)
{
    box->message = message;
    atomic_store_explicit(&box->full, 1, memory_order_release);
    futex(&box->full, FUTEX_WAKE, 1);
}

static int
futex_receive(Mailbox *box)
{
    while (!atomic_load_explicit(&box->full, memory_order_acquire)) {
        futex(&box->full, FUTEX_WAIT, 0);
    }
    int message = box->message;
    atomic_store_explicit(&box->full, 0, memory_order_relaxed);
    return message;
}

static void
condvar_send(Mailbox *box, int message)
{
    pthread_mutex_lock(&box->mutex);
    box->message = message;
    box->full = 1;
    pthread_mutex_unlock(&box->mutex);
    pthread_cond_signal(&box->arrived);
}

static int
condvar_receive(Mailbox *box)
{
    pthread_mutex_lock(&box->mutex);
    while (!box->full) {
        pthread_cond_wait(&box->arrived, &box->mutex);
    }
    int message = box->message;
    box->full = 0;
    pthread_mutex_unlock(&box->mutex);
    return message;
}

static void
spin_send(Mailbox *box, int message)
{
    box->message = message;
    atomic_store_explicit(&box->full, 1, memory_order_release);
}

static int
spin_receive(Mailbox *box)
{
    for (long n = 1; !atomic_load_explicit(&box->full, memory_order_acquire); n++) {
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile ("isb");
#endif
        if (n % SPINS == 0) {
            sched_yield();
        }
    }
    int message = box->message;
    atomic_store_explicit(&box->full, 0, memory_order_relaxed);
    return message;
}

static const struct {
    const char *name;
    Flavour flavour;
} flavours[] = {
    {"futex", {futex_send, futex_receive}},
    {"condvar", {condvar_send, condvar_receive}},
    {"spin", {spin_send, spin_receive}},
};


/* --- the two ends --- */

static int64_t
now(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * INT64_C(1000000000) + ts.tv_nsec;
}

static void
sleep_us(long us)
{
    struct timespec ts = {us / 1000000, us % 1000000 * 1000};
    while (nanosleep(&ts, &ts) && errno == EINTR) {
    }
}

static void
die(int status, const char *message)
{
    fprintf(stderr, "%s\n", message);
    exit(status);
}

/* Keep the calling thread, which is end number `which`, where `place` says. */
static void
settle(int which)
{
    cpu_set_t all, one;
    if (place == ANYWHERE) {
        return;
    }
    if (sched_getaffinity(0, sizeof(all), &all)) {
        die(1, "the processors are not known");
    }
    int skip = place == APART ? which : 0;
    CPU_ZERO(&one);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (CPU_ISSET(cpu, &all) && skip-- == 0) {
            CPU_SET(cpu, &one);
        }
    }
    if (CPU_COUNT(&one) == 0) {
        die(UNAVAILABLE, "needs two processors");
    }
    if (sched_setaffinity(0, sizeof(one), &one)) {
        die(1, "the thread could not be moved");
    }
}

static void *
echo(void *unused)
{
    settle(1);
    for (long i = 0; i < count; i++) {
        flavour.send(&back, flavour.receive(&there));
    }
    return NULL;
}

static void *
echo_parked(void *unused)
{
    settle(1);
    for (long i = 0; i < count; i++) {
        int message = flavour.receive(&there);
        int64_t start = now();
        if (hold_us) {
            sleep_us(hold_us);
        }
        held[i] = now() - start;
        flavour.send(&back, message);
    }
    return NULL;
}

/* Fill durations[] with the nanoseconds of each batch. */
static void
ping(int64_t *durations, long batches, long batch)
{
    for (long i = 0; i < batches; i++) {
        int64_t start = now();
        for (long k = 0; k < batch; k++) {
            flavour.send(&there, (int)k);
            if (flavour.receive(&back) != (int)k) {
                abort();
            }
        }
        durations[i] = now() - start;
    }
}

/* Fill durations[] with the nanoseconds from each send to its answer. */
static void
ping_parked(int64_t *durations)
{
    for (long i = 0; i < count; i++) {
        sleep_us(pause_us);
        int64_t start = now();
        flavour.send(&there, (int)i);
        flavour.receive(&back);
        durations[i] = now() - start;
    }
}

static long
number(const char *text)
{
    char *end;
    long value = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || value < 0 || value > 1000000000) {
        die(2, "a number was expected");
    }
    return value;
}

int
main(int argc, char **argv)
{
    int parked = argc == 9 && strcmp(argv[3], "parked") == 0;
    if (!parked && !(argc == 8 && strcmp(argv[3], "hot") == 0)) {
        die(2, "arguments: FLAVOUR CAPACITY hot|parked NUMBER...");
    }
    for (size_t i = 0; i < sizeof(flavours) / sizeof(flavours[0]); i++) {
        if (strcmp(argv[1], flavours[i].name) == 0) {
            flavour = flavours[i].flavour;
        }
    }
    if (flavour.send == NULL) {
        die(2, "there is no such flavour");
    }
    long warmup = number(argv[4]), samples = warmup + number(argv[5]);
    long batch = parked ? 1 : number(argv[6]);
    if (parked) {
        pause_us = number(argv[6]);
        hold_us = number(argv[7]);
    }
    place = number(argv[argc - 1]);
    count = samples * batch;
    int64_t *durations = calloc(samples, sizeof(int64_t));
    held = calloc(samples, sizeof(int64_t));
    if (durations == NULL || held == NULL) {
        die(2, "out of memory");
    }
    Mailbox *boxes[] = {&there, &back};
    for (int i = 0; i < 2; i++) {
        pthread_mutex_init(&boxes[i]->mutex, NULL);
        pthread_cond_init(&boxes[i]->arrived, NULL);
    }

    /* The other thread may use all processors, so it starts first. */
    pthread_t thread;
    if (pthread_create(&thread, NULL, parked ? echo_parked : echo, NULL)) {
        die(2, "no thread could be started");
    }
    settle(0);
    if (parked) {
        ping_parked(durations);
    }
    else {
        ping(durations, samples, batch);
    }
    pthread_join(thread, NULL);
    for (long i = warmup; i < samples; i++) {
        printf("%.4f\n", (durations[i] - held[i]) / 1e3 / batch);
    }
    return 0;
}
