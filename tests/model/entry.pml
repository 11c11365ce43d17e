/* One entry's life under the protocol: two hosts, up to three worker slots, a reaper, an operator. Workers crash at each named step (AT, the kill
 * points of the code: see steps.txt), lose replies, leave commands behind that a dead connection delivers late, freeze, and are stopped; hints are
 * deleted and the group is destroyed. How much of it happens is a budget (-DCRASHES=… and so on): tests/model/run has the table.
 *
 * Checked, each with a mutation of the protocol that the check catches (-DMUT_…):
 *   delivery   no two concurrent executions share a delivery number                  MUT_TAKE_JUSTID
 *   overlap    without freezes no two executions overlap on one host                 MUT_NO_FENCE, MUT_NO_KILL
 *   attempts   no more runs than max_attempts (those given back do not count)        MUT_NO_LIMIT
 *   count      the delivery number never falls (a release gives back in `given`)     MUT_DECR
 *   lost       no state in which nobody will pick the entry up (invalid end state)   MUT_NO_REBUILD, MUT_NO_PUT_BACK, MUT_NO_TRACE,
 *                                                                                    MUT_NO_BURY_PUT_BACK, MUT_NO_SWEEP
 * After the group was destroyed delivery numbers may come again (the promise excepts it): delivery, overlap and count are not checked then.
 *
 * A limit that the check finds by itself (the last row in tests/model/run, -DNOTED): the reply of an entry's first read is lost, a host notes how far
 * the group has got by then, and the group is destroyed before the worker has asked what it holds. Then nobody knows of the entry, and the group is
 * made again behind it. (The reply of a take may be lost like this: its row in `due` stays until the entry is settled.) */

#ifndef HOSTS
#define HOSTS 2          /* 1: one host with two workers; 2: two hosts with one worker each; 3: two and one */
#endif
#ifndef MAXATT
#define MAXATT 2
#endif
#ifndef INC
#define INC 5            /* incarnations of workers are 1 … INC-1; 0 = xackd:parked */
#endif
#ifndef CRASHES
#define CRASHES 1
#endif
#ifndef LOSSES
#define LOSSES 1
#endif
#ifndef FREEZES
#define FREEZES 1
#endif
#ifndef STOPS
#define STOPS 1
#endif
#ifndef WIPES
#define WIPES 0
#endif
#ifndef DESTROYS
#define DESTROYS 0
#endif

#define WAITING 0
#define PEND 1
#define ACKED 2
#define DEADL 3
#define DROPPED 4        /* delivered, and no longer pending because the group was destroyed */

#define READ 0
#define TAKE 1
#define ACK 2
#define PARK 3
#define BURY 4
#define RELEASE 5
#define NOTHING 8

byte st = WAITING, owner, count, given;
byte spent;              /* runs that were not given back */
byte top;                /* the highest delivery number so far */
bool due, lostnote, seen;
bool taken;              /* its row in `due` is far in the future: it was taken, or put back under a worker's name */
bool group = 1;
bool wiped, destroyed, froze;
byte nextinc;
byte exec[INC];          /* the delivery that an incarnation executes, 0 = none */
bool knows[INC], frozen[INC], gone[INC], consumer[INC];
byte host[INC];
byte crashes = CRASHES, losses = LOSSES, freezes = FREEZES, stops = STOPS, wipes = WIPES, destroys = DESTROYS;

#define FINAL (st == ACKED || st == DEADL)
#define ATT (count - given)
#define PENDING (group && st == PEND)
#ifdef MUT_NO_FENCE
#define MINE(m, d) (PENDING && owner != 0)
#else
#define MINE(m, d) (PENDING && owner == m && count == d)
#endif

#ifdef MUT_TAKE_JUSTID
#define ATTEMPTS_HOLD true   /* it counts nothing any more: what is asked is whether the other invariant notices */
#else
#define ATTEMPTS_HOLD (destroyed || spent <= MAXATT + wiped)
#endif

inline counted() { assert(destroyed || count >= top); if :: count > top -> top = count :: else fi }

/* ---- what Redis executes, each one atomic step ---- */

inline do_read(m) { if :: group && st == WAITING -> st = PEND; owner = m; count = 1; consumer[m] = 1; counted() :: else fi }
inline do_take(m) {
  if :: PENDING && owner == 0 && due -> owner = m; due = 0; consumer[m] = 1;
#ifndef MUT_NO_TRACE
        taken = 1;
#endif
#ifndef MUT_TAKE_JUSTID
        count++;
#endif
        counted()
     :: else fi }
inline do_ack(m) { if :: PENDING || st == DROPPED -> st = ACKED; taken = 0 :: else fi }
inline do_park(m, d) { if :: MINE(m, d) -> owner = 0; due = 1; taken = 0; lostnote = 0 :: else fi }
inline do_bury(m, d) { if :: MINE(m, d) -> st = DEADL; taken = 0 :: else fi }
inline do_release(m, d, ran) {
  if :: MINE(m, d) -> owner = 0; due = 1; taken = 0;
#ifdef MUT_DECR
        count--; counted();
#else
        given++;
#endif
        if :: ran -> spent-- :: else fi
     :: else fi }
inline do_reap(m) { if :: PENDING && owner == m -> owner = 0; due = 1; taken = 0; lostnote = 1 :: else fi }
inline do_group() {
  if :: !group ->
        group = 1;
        if :: st == DROPPED && due -> st = PEND; owner = 0
           :: st == DROPPED && taken -> st = PEND; owner = 0; taken = 0; due = 1;     /* after a lease: its worker may claim it before */
              if :: count > 1 -> count-- :: else fi
           :: st == DROPPED && !due && !taken && !seen -> st = WAITING; count = 0; given = 0; top = 0
           :: else fi
     :: else fi }
inline do_put_back(m, d) {
#ifndef MUT_NO_PUT_BACK
  if :: group && !consumer[m] && d > 0 && (st == DROPPED || (st == PEND && owner == 0 && count <= d)) ->
        st = PEND; owner = m; count = d; consumer[m] = 1; due = 0; taken = 1
     :: else fi
#else
  skip
#endif
}
inline settle_call(m, d) {
  if :: op == ACK -> do_ack(m)
     :: op == PARK -> do_park(m, d)
     :: op == BURY -> do_bury(m, d)
     :: op == RELEASE -> do_release(m, d, true)
  fi }

/* A command left in the socket of a connection that is gone: executed later, or never. */
proctype Late(byte op; byte m; byte d) {
  if
  :: atomic { if :: op == READ -> do_read(m) :: op == TAKE -> do_take(m) :: else -> settle_call(m, d) fi }
  :: skip
  fi }

/* ---- a worker's slot ---- */

/* Here a process may die. What lies between two steps is one place for all that others can see, so it stands once, with both names, at the
 * beginning of the step that follows. */
#define AT(steps) if :: crashes > 0 -> crashes--; goto died :: skip fi

#define THERE (st == WAITING || (PENDING && owner == 0 && due))
#define LOST_GROUP (!group || st == DROPPED)

inline fetch_call() { if :: st == WAITING -> do_read(me) :: else -> do_take(me) fi }
inline fetch_later() { if :: st == WAITING -> run Late(READ, me, 0) :: else -> run Late(TAKE, me, 0) fi }
inline freeze() { freezes--; froze = 1; frozen[me] = 1 }
inline clean() { held = 0; unsure = 0; knows[me] = 0; d = 0; op = NOTHING; i = 0; lost = 0 }

proctype Worker(byte h) {
  byte me, d, op, i;
  bool held, lost, unsure;
restart:
  atomic {
    clean();
    if :: nextinc + 1 >= INC || FINAL -> goto out
       :: else -> nextinc++; me = nextinc; host[me] = h
    fi }
idle:
  do
  :: FINAL -> break

  :: atomic { !FINAL && !group && !unsure -> AT(group.before); do_group() }

  :: atomic { !FINAL && group && !unsure && THERE ->
       AT(fetch.before take.before group.after release_mine.after put_back.after
          xack.after ack.after park.after bury.after release.after resend.after);
       if
       :: fetch_call();
          if :: PENDING && owner == me -> held = 1; d = count; knows[me] = 1; seen = 1; goto fetched :: else fi
       :: losses > 0 -> losses--; fetch_call(); unsure = 1                       /* executed, and its answer is lost */
       :: losses > 0 -> losses--; fetch_later(); unsure = 1                      /* to be executed late, or never */
       fi }

  :: atomic { unsure && d == 0 ->                                               /* what does Redis hold under my name? */
       AT(reconnect.before reconnect.after kill_old.before kill_old.after mine.before);
       if :: PENDING && owner == me -> d = count :: else -> unsure = 0 fi }
  :: atomic { unsure && d > 0 ->
       AT(mine.after release_mine.before);
       do_release(me, d, false); d = 0 }                                        /* asked again, until nothing is left */
  od;
  goto out;

fetched:
  atomic {
    AT(fetch.after take.after);
    if :: freezes > 0 -> freeze(); goto asleep :: skip fi;
start:
#ifndef MUT_NO_LIMIT
    if :: ATT > MAXATT && lostnote -> op = BURY; goto settle :: else fi;
#endif
    AT(spawn.before);
    i = 1;
    do :: i < INC ->
          if :: i != me && exec[i] != 0 ->
                assert(destroyed || exec[i] != d);
                assert(destroyed || froze || host[i] != h)
             :: else fi;
          i++
       :: else -> break
    od;
    i = 0; exec[me] = d; spent++;
    assert(ATTEMPTS_HOLD) }
running:
  if
  :: atomic { freezes > 0 -> freeze() };
     atomic { frozen[me] = 0; goto running }
  :: atomic { (froze || LOST_GROUP) && !lost && !(PENDING && owner == me && count == d) ->
       AT(spawn.after renew.before);
       if :: LOST_GROUP -> goto put :: else -> lost = 1; goto running fi }
  :: atomic { AT(spawn.after renew.after end.before);
       if
       :: op = ACK
       :: op = PARK
       :: stops > 0 -> stops--; op = RELEASE
       fi;
       exec[me] = 0 }
  fi;
settle:
  atomic {
    AT(end.after xack.before ack.before park.before bury.before release.before resend.before);
    if :: op == PARK && ATT >= MAXATT -> op = BURY :: else fi;
    if :: lost && op != ACK -> clean(); goto idle :: else fi;
    if
    :: LOST_GROUP && op != ACK && !FINAL -> goto put
    :: else ->
       if
       :: settle_call(me, d); clean(); goto idle
       :: losses > 0 -> losses--; settle_call(me, d); goto settle               /* the identical call until it is answered */
       :: losses > 0 -> losses--; run Late(op, me, d); goto settle
       fi
    fi }
put:
  atomic {
    AT(put_back.before);
    do_group(); do_put_back(me, d);
    if :: PENDING && owner == me && count == d -> skip :: else -> lost = 1 fi;
    if :: op == NOTHING -> goto running :: else -> goto settle fi }

asleep:                                                     /* thawed: is it still mine? It never started here */
  atomic {
    frozen[me] = 0;
    if :: PENDING && owner == me && count == d -> goto start
       :: LOST_GROUP -> do_group(); do_put_back(me, d);
          if :: PENDING && owner == me && count == d -> goto start :: else -> clean(); goto idle fi
       :: else -> clean(); goto idle
    fi }

died:                                                       /* the supervisor kills the handler's group first, then the reaper is told */
  atomic {
#ifndef MUT_NO_KILL
    exec[me] = 0;
#endif
    knows[me] = 0;
#ifndef MUT_NO_BURY_PUT_BACK
    if :: LOST_GROUP && held -> do_group(); do_put_back(me, d) :: else fi;
#endif
#ifndef MUT_NO_SWEEP
    do_reap(me);
#endif
    gone[me] = 1;
    goto restart }
out:
  atomic { if :: me > 0 -> gone[me] = 1 :: else fi; clean(); me = 0 } }

/* ---- any reaper: each of its steps is one call, and it knows nothing from one to the next ---- */

#undef AT
#define AT(steps)

proctype Reaper() {
  byte i;
  do
  :: FINAL -> break
#ifndef MUT_NO_SWEEP
  :: atomic { !FINAL && PENDING && owner != 0 && (gone[owner] || frozen[owner] || !knows[owner]) ->
       AT(sweep.before) AT(sweep_one.before) AT(reap.before) do_reap(owner) AT(reap.after) AT(sweep_one.after) AT(sweep.after) }
#endif
#ifndef MUT_NO_REBUILD
  :: atomic { PENDING && owner == 0 && !due -> AT(rebuild.before) due = 1 AT(rebuild.after) }
#endif
#ifdef NOTED
  :: atomic { !seen && group && st != WAITING -> seen = 1 }
#endif
  :: atomic { !group && !FINAL -> AT(remake.before) do_group() AT(remake.after);
       i = 1;                                               /* what the workers of this host run is put back */
       do :: i < INC -> if :: exec[i] > 0 -> AT(host_put_back.before) do_put_back(i, exec[i]) AT(host_put_back.after) :: else fi; i++
          :: else -> break
       od;
       i = 0 }
  od }

proctype Operator() {
  byte i;
  do
  :: FINAL -> break
  :: destroys == 0 && wipes == 0 -> break
  :: atomic { destroys > 0 && group && !FINAL -> destroys--; group = 0; destroyed = 1;
       i = 1; do :: i < INC -> consumer[i] = 0; i++ :: else -> break od; i = 0;
       if :: st == PEND -> st = DROPPED :: else fi }
  :: atomic { wipes > 0 && !FINAL -> wipes--; wiped = 1; due = 0; taken = 0; given = 0; lostnote = 0 }
  od }

init {
  atomic {
    run Worker(1);
    if :: HOSTS != 2 -> run Worker(1) :: else fi;
    if :: HOSTS != 1 -> run Worker(2) :: else fi;
    run Reaper();
    run Operator() } }
