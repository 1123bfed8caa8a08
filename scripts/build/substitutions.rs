//! What is changed in Lua's C sources before they are compiled.
//!
//! # Steps
//! Every loop in C whose length a script can choose counts its rounds: `luaE_step(L, n)` takes `n` from the budget in the
//! global state, and when that is used up calls `aleadb_pause`, which is Rust's (`src/lua/vm.rs`): it looks at the clock, may
//! suspend the whole stack that the script runs on, and raises an error in a script that is to end. A step is some
//! nanoseconds of work. The interpreter itself counts jumps and calls: code without either is as long as its text.
//! Allocations count as well, by their size, so that whatever makes a string, a table or a buffer is counted. Long strings are
//! copied, compared and searched in parts.
//!
//! Where an error would leave half of something behind, work is counted by `luaE_breathe`, which may suspend the stack and raises
//! nothing: in the collector, in a table that grows, in the table of all strings. A script that is to end does so when that is
//! through. Nobody else uses the interpreter meanwhile, so that it may be suspended in any state.
//!
//! One step each, however long: what the allocator does with a block, a string read as a number, and the way along one chain of a
//! table whose keys collide.
//!
//! # Memory
//! An allocation cannot collect garbage first, for much of the interpreter holds new objects by nothing but a pointer. So memory
//! beyond the script's limit is granted for a while (`src/lua/alloc.rs`), and where a collection is safe `luaC_emergency` collects
//! all garbage, and raises the error if what is in use leaves too little. That is
//! - where Lua itself may collect (`luaC_checkGC`): a step of its collector may be a whole collection, and has been able to raise
//!   errors, those of finalizers;
//! - at a jump, where as at those places everything that a function uses lies below the top of its part of the stack: there are
//!   no jumps between an instruction that leaves the top open and the one that takes it up;
//! - before a call, for what is called might collect as the first thing it does.
//!
//! There are pointers into stacks at these places, which an emergency therefore leaves as large as they are. It allocates
//! nothing, and so ends. Functions in Rust collect by themselves (`Frame::memory_for`), and nothing is raised in them.
//!
//! # Read-only tables
//! A flag in each table, and a look at it wherever a script can write: assignments, `rawset`, `setmetatable`, the table
//! library. The same as in Redis, with its error text.

/// A text in a file that is replaced by another.
pub struct Substitution {
    /// The name of the file.
    pub file: &'static str,
    /// What is in the file, exactly once.
    pub anchor: &'static str,
    /// What stands there instead.
    pub replacement: &'static str,
    /// The reason.
    pub why: &'static str,
}

const fn replace(
    file: &'static str,
    anchor: &'static str,
    replacement: &'static str,
    why: &'static str,
) -> Substitution {
    Substitution { file, anchor, replacement, why }
}

const STEPS: &str = "a loop whose length a script chooses counts its steps";
const READONLY: &str = "tables can be read-only";
const STATE: &str = "the libraries count steps, which the global state holds";
const KILLED: &str = "nothing catches the error of a script that is to end";

/// The substitutions, which are made in this order.
pub const SUBSTITUTIONS: &[Substitution] = &[
    // The global state: steps, the script's stack in C, and whether the script is to end.
    replace(
        "lstate.h",
        "  TString *tmname[TM_N];  /* array with tag-method names */\n",
        "  TString *tmname[TM_N];  /* array with tag-method names */
  ptrdiff_t steps;  /* work that may be done until `aleadb_pause' is called */
  const char *cstack_end;  /* no recursion goes below this address */
  lu_mem memory_limit;  /* bytes that the script may have */
  lu_mem memory_margin;  /* as many of them have to be left when all garbage has been collected */
  lu_byte emergency;  /* a collection runs since memory is short */
  lu_byte killed;  /* the script is to end: errors cannot be caught */
  Table *lists[2];  /* the last `KEYS' and `ARGV', which the globals hold */\n",
        "what Rust and the C code share",
    ),
    replace(
        "lstate.h",
        "#define G(L)	(L->l_G)\n",
        "#define G(L)	(L->l_G)\n
/* looks at the clock and at what has been asked for; may suspend the stack, and raise an error if it is allowed to */
extern void aleadb_pause (lua_State *L, int may_raise);
#define luaE_step(L,n) \\
  { if ((G(L)->steps -= (ptrdiff_t)(n)) < 0) aleadb_pause(L, (L)->errorJmp != NULL); }
/* bytes of garbage that are not worth a look at all that is none */
#define ALEADB_GARBAGE (256u << 10)
/* whether an error of memory may be raised: no function of Rust's is at work */
extern int aleadb_may_raise (lua_State *L);
extern void luaC_emergency (lua_State *L);
/* at a jump or before a call: the budget of steps is used up, or memory is short */
extern void luaE_turn (lua_State *L);
/* the same where an error may not be raised */
#define luaE_breathe(L,n) \\
  { if ((G(L)->steps -= (ptrdiff_t)(n)) < 0) aleadb_pause(L, 0); }
/* the same once in a block of rounds of a short loop, the number of the round being `i' */
#define luaE_breathe_in(L,i) \\
  { if (((i) & 63) == 63) luaE_breathe(L, 16); }
/* copies and comparisons of long strings, in parts between which the stack may be suspended */
#define LUAE_PART 16384
extern void luaE_copylong (lua_State *L, char *to, const char *from, size_t n);
extern int luaE_comparelong (lua_State *L, const char *a, const char *b, size_t n);
#define luaE_copy(L,to,from,n) \\
  { if ((n) <= LUAE_PART) memcpy(to, from, n); else luaE_copylong(L, to, from, n); }
#define luaE_compare(L,a,b,n) ((n) <= LUAE_PART ? memcmp(a, b, n) : luaE_comparelong(L, a, b, n))
extern const char *luaE_find (lua_State *L, const char *s, int c, size_t n);\n",
        "how work is counted",
    ),
    replace(
        "lstate.c",
        "  g->panic = NULL;\n",
        "  g->panic = NULL;\n  g->steps = 0;\n  g->cstack_end = NULL;\n  g->killed = 0;\n  g->emergency = 0;
  g->memory_limit = MAX_LUMEM;\n  g->memory_margin = 0;
  g->lists[0] = g->lists[1] = NULL;\n",
        "a new state has no budget: the first step asks for one",
    ),
    // The functions that Rust calls beside Lua's own.
    replace(
        "lapi.c",
        "LUA_API void lua_getfenv (lua_State *L, int idx) {\n",
        "extern int aleadb_has_fields (const Table *t);

void luaE_copylong (lua_State *L, char *to, const char *from, size_t n) {
  while (n > LUAE_PART) {
    memcpy(to, from, LUAE_PART);
    to += LUAE_PART; from += LUAE_PART; n -= LUAE_PART;
    luaE_breathe(L, LUAE_PART >> 5);
  }
  memcpy(to, from, n);
}

int luaE_comparelong (lua_State *L, const char *a, const char *b, size_t n) {
  while (n > LUAE_PART) {
    int order = memcmp(a, b, LUAE_PART);
    if (order != 0) return order;
    a += LUAE_PART; b += LUAE_PART; n -= LUAE_PART;
    luaE_step(L, LUAE_PART >> 5);
  }
  return memcmp(a, b, n);
}

const char *luaE_find (lua_State *L, const char *s, int c, size_t n) {
  while (n > LUAE_PART) {
    const char *found = (const char *)memchr(s, c, LUAE_PART);
    if (found != NULL) return found;
    s += LUAE_PART; n -= LUAE_PART;
    luaE_step(L, LUAE_PART >> 6);
  }
  return (const char *)memchr(s, c, n);
}

void luaE_turn (lua_State *L) {
  aleadb_pause(L, L->errorJmp != NULL);
  if (G(L)->totalbytes > G(L)->memory_limit) luaC_emergency(L);
}

/* while memory is short the budget is used up, so that the next jump or call comes to luaE_turn */
void aleadb_set_steps (lua_State *L, ptrdiff_t steps) {
  G(L)->steps = G(L)->totalbytes > G(L)->memory_limit ? 0 : steps;
}

/* another script begins: what the last one did to the collector is undone */
void aleadb_set_memory (lua_State *L, size_t limit, size_t margin) {
  global_State *g = G(L);
  g->memory_limit = limit;
  g->memory_margin = margin;
  g->gcpause = LUAI_GCPAUSE;
  g->gcstepmul = LUAI_GCMUL;
  if (g->GCthreshold > 2 * g->totalbytes + ALEADB_GARBAGE) g->GCthreshold = 2 * g->totalbytes + ALEADB_GARBAGE;
}

void aleadb_set_killed (lua_State *L, int killed) {
  G(L)->killed = cast_byte(killed);
}

void aleadb_set_cstack_end (lua_State *L, const char *end) {
  G(L)->cstack_end = end;
}

/* counts work in a function of Rust's, where no error may be raised */
void aleadb_breathe (lua_State *L, ptrdiff_t steps) {
  luaE_breathe(L, steps);
}

/* raises the error on the top of the stack; no error handler sees it */
void aleadb_throw (lua_State *L) {
  luaD_throw(L, LUA_ERRRUN);
}

/* goes on with an error that was caught, the value on the top of the stack, in a script that is to end */
void aleadb_rethrow_if_killed (lua_State *L) {
  if (G(L)->killed) luaD_throw(L, LUA_ERRRUN);
}

void aleadb_set_readonly (lua_State *L, int idx, int readonly) {
  hvalue(index2adr(L, idx))->readonly = cast_byte(readonly);
}

/* where fields are that Rust reads */
const size_t aleadb_layout[] = {
  offsetof(lua_State, top), offsetof(lua_State, base), offsetof(lua_State, ci),
  offsetof(CallInfo, top),
  sizeof(TValue), offsetof(TValue, value), offsetof(TValue, tt), sizeof(Value),
  sizeof(TString), offsetof(TString, tsv.mark), offsetof(TString, tsv.len),
  offsetof(Table, readonly), offsetof(Table, metatable), offsetof(Table, array), offsetof(Table, sizearray)
};

/* sets an element of the table on the top, which is not read-only, to a string */
void aleadb_set_item (lua_State *L, int n, const char *bytes, size_t length) {
  Table *t = hvalue(L->top - 1);
  TValue *slot = luaH_setnum(L, t, n);
  TString *ts = luaS_newlstr(L, bytes, length);
  setsvalue(L, slot, ts);
  luaC_barriert(L, t, slot);
}

/* pushes the table of a global, which scripts cannot set, for n elements. It is that of the last script, if nothing but elements
   of it has been set since: a script is over when its successor begins, and can have left it nowhere else */
void aleadb_push_list (lua_State *L, int number, const char *name, size_t length, int n) {
  global_State *g = G(L);
  Table *t = g->lists[number];
  if (t == NULL || t->sizearray != n || t->metatable != NULL || aleadb_has_fields(t)) {
    Table *globals = hvalue(gt(L));
    TString *ts;
    lua_createtable(L, n, 0);
    t = g->lists[number] = hvalue(L->top - 1);
    ts = luaS_newlstr(L, name, length);
    setobj2t(L, luaH_setstr(L, globals, ts), L->top - 1);
    luaC_barriert(L, globals, L->top - 1);
  }
  else {
    sethvalue(L, L->top, t);
    api_incr_top(L);
  }
}

/* `lua_next' that answers -1 for a key that is not in the table, instead of raising an error */
int aleadb_next (lua_State *L, int idx) {
  int more = luaH_trynext(L, hvalue(index2adr(L, idx)), L->top - 1);
  if (more > 0) { api_incr_top(L); }
  else L->top -= 1;
  return more;
}

LUA_API void lua_getfenv (lua_State *L, int idx) {\n",
        "what Rust calls beside Lua's own functions",
    ),
    // Steps of the interpreter.
    replace(
        "lvm.c",
        "#define dojump(L,pc,i)	{(pc) += (i); luai_threadyield(L);}\n",
        "#define dojump(L,pc,i)	{ if (--G(L)->steps < 0) { L->savedpc = (pc); luaE_turn(L); } (pc) += (i); }\n",
        "every loop of a script jumps",
    ),
    replace(
        "ldo.c",
        "  LClosure *cl;\n  ptrdiff_t funcr;\n  if (!ttisfunction(func))",
        "  LClosure *cl;\n  ptrdiff_t funcr;\n  if (--G(L)->steps < 0) luaE_turn(L);\n  if (!ttisfunction(func))",
        "every recursion of a script calls",
    ),
    replace(
        "lmem.c",
        "  lua_assert((osize == 0) == (block == NULL));\n  block =",
        "  if (nsize > osize) luaE_step(L, 1 + (nsize >> 6)) else if (nsize > 0) luaE_breathe(L, 1 + (nsize >> 6))\n  block =",
        "memory that is allocated is written to; an error can be raised here, for there may be no memory, but not where a block \
         shrinks, which never fails",
    ),
    replace(
        "lmem.c",
        "  g->totalbytes = (g->totalbytes - osize) + nsize;\n",
        "  g->totalbytes = (g->totalbytes - osize) + nsize;
  if (nsize > osize && g->totalbytes > g->memory_limit) g->steps = 0;\n",
        "the next jump or call looks at the memory",
    ),
    replace(
        "lvm.c",
        "static int l_strcmp (const TString *ls, const TString *rs) {
  const char *l = getstr(ls);
  size_t ll = ls->tsv.len;
  const char *r = getstr(rs);
  size_t lr = rs->tsv.len;
  for (;;) {
    int temp = strcoll(l, r);
    if (temp != 0) return temp;
    else {  /* strings are equal up to a `\\0' */
      size_t len = strlen(l);  /* index of first `\\0' in both strings */
      if (len == lr)  /* r is finished? */
        return (len == ll) ? 0 : 1;
      else if (len == ll)  /* l is finished? */
        return -1;  /* l is smaller than r (because r is not finished) */
      /* both strings longer than `len'; go on comparing (after the `\\0') */
      len++;
      l += len; ll -= len; r += len; lr -= len;
    }
  }
}
",
        "static int l_strcmp (lua_State *L, const TString *ls, const TString *rs) {
  size_t ll = ls->tsv.len, lr = rs->tsv.len;
  int order = luaE_compare(L, getstr(ls), getstr(rs), ll < lr ? ll : lr);
  if (order != 0) return order;
  return (ll > lr) - (ll < lr);
}
",
        "a comparison counts its steps; nothing sets another locale than C, where strings are compared by their bytes",
    ),
    replace(
        "lvm.c",
        "    return l_strcmp(rawtsvalue(l), rawtsvalue(r)) < 0;",
        "    return l_strcmp(L, rawtsvalue(l), rawtsvalue(r)) < 0;",
        STEPS,
    ),
    replace(
        "lvm.c",
        "    return l_strcmp(rawtsvalue(l), rawtsvalue(r)) <= 0;",
        "    return l_strcmp(L, rawtsvalue(l), rawtsvalue(r)) <= 0;",
        STEPS,
    ),
    replace(
        "lvm.c",
        "        memcpy(buffer+tl, svalue(top-i), l);\n",
        "        luaE_copy(L, buffer+tl, svalue(top-i), l);\n",
        STEPS,
    ),
    replace(
        "lstring.c",
        "  memcpy(ts+1, str, l*sizeof(char));\n",
        "  luaE_copy(L, (char *)(ts+1), str, l);\n",
        STEPS,
    ),
    replace(
        "lstring.c",
        "  for (i=0; i<tb->size; i++) {\n    GCObject *p = tb->hash[i];\n    while (p) {  /* for each node in the list */\n",
        "  for (i=0; i<tb->size; i++) {
    GCObject *p = tb->hash[i];
    luaE_breathe_in(L, i);
    while (p) {  /* for each node in the list */
      luaE_breathe(L, 1);\n",
        STEPS,
    ),
    replace(
        "lstring.c",
        "(memcmp(str, getstr(ts), l) == 0)",
        "(luaE_compare(L, str, getstr(ts), l) == 0)",
        STEPS,
    ),
    // Tables that grow.
    replace(
        "ltable.c",
        "static int numusearray (const Table *t, int *nums) {\n",
        "static int numusearray (lua_State *L, const Table *t, int *nums) {\n",
        STEPS,
    ),
    replace(
        "ltable.c",
        "      if (!ttisnil(&t->array[i-1]))\n        lc++;\n",
        "      luaE_breathe_in(L, i);\n      if (!ttisnil(&t->array[i-1]))\n        lc++;\n",
        STEPS,
    ),
    replace(
        "ltable.c",
        "static int numusehash (const Table *t, int *nums, int *pnasize) {\n",
        "static int numusehash (lua_State *L, const Table *t, int *nums, int *pnasize) {\n",
        STEPS,
    ),
    replace(
        "ltable.c",
        "    Node *n = &t->node[i];\n    if (!ttisnil(gval(n))) {\n",
        "    Node *n = &t->node[i];\n    luaE_breathe_in(L, i);\n    if (!ttisnil(gval(n))) {\n",
        STEPS,
    ),
    replace(
        "ltable.c",
        "  nasize = numusearray(t, nums);  /* count keys in array part */\n",
        "  nasize = numusearray(L, t, nums);  /* count keys in array part */\n",
        STEPS,
    ),
    replace("ltable.c", "  totaluse += numusehash(t, nums, &nasize);", "  totaluse += numusehash(L, t, nums, &nasize);", STEPS),
    replace(
        "ltable.c",
        "  for (i=t->sizearray; i<size; i++)\n     setnilvalue(&t->array[i]);\n",
        "  for (i=t->sizearray; i<size; i++) {\n     luaE_breathe_in(L, i);\n     setnilvalue(&t->array[i]);\n  }\n",
        STEPS,
    ),
    replace(
        "ltable.c",
        "      Node *n = gnode(t, i);\n      gnext(n) = NULL;\n",
        "      Node *n = gnode(t, i);\n      luaE_breathe_in(L, i);\n      gnext(n) = NULL;\n",
        STEPS,
    ),
    replace(
        "ltable.c",
        "    for (i=nasize; i<oldasize; i++) {\n",
        "    for (i=nasize; i<oldasize; i++) {\n      luaE_breathe(L, 1);\n",
        STEPS,
    ),
    replace("ltable.c", "    Node *old = nold+i;\n", "    Node *old = nold+i;\n    luaE_breathe(L, 1);\n", STEPS),
    replace(
        "ltable.c",
        "static Node *getfreepos (Table *t) {\n  while (t->lastfree-- > t->node) {\n",
        "static Node *getfreepos (lua_State *L, Table *t) {
  int passed = 0;
  while (t->lastfree-- > t->node) {
    luaE_breathe_in(L, passed++);\n",
        "places that are taken are passed over, all of them at once where no key has collided before",
    ),
    replace("ltable.c", "    Node *n = getfreepos(t);", "    Node *n = getfreepos(L, t);", "as above"),
    replace(
        "lstring.c",
        "    TString *ts = rawgco2ts(o);\n    if (ts->tsv.len == l",
        "    TString *ts = rawgco2ts(o);\n    luaE_step(L, 1);\n    if (ts->tsv.len == l",
        "strings of one hash are in one chain",
    ),
    replace(
        "ltable.c",
        "int luaH_next (lua_State *L, Table *t, StkId key) {
  int i = findindex(L, t, key);  /* find original element */
  for (i++; i < t->sizearray; i++) {  /* try first array part */\n",
        "static int nextfrom (lua_State *L, Table *t, StkId key, int i) {
  for (i++; i < t->sizearray; i++) {  /* try first array part */
    luaE_breathe(L, 1);\n",
        "a table that was emptied is looked through from its beginning",
    ),
    replace(
        "ltable.c",
        "  for (i -= t->sizearray; i < sizenode(t); i++) {  /* then hash part */\n",
        "  for (i -= t->sizearray; i < sizenode(t); i++) {  /* then hash part */\n    luaE_breathe(L, 1);\n",
        "as above",
    ),
    replace(
        "lgc.c",
        "  /*lua_checkmemory(L);*/\n",
        "  luaE_breathe(L, 10);\n",
        "a collection may be long; no error is raised inside it",
    ),
    replace(
        "lgc.c",
        "    while (i--)\n      markvalue(g, &h->array[i]);\n",
        "    while (i--) {\n      luaE_breathe_in(g->mainthread, i);\n      markvalue(g, &h->array[i]);\n    }\n",
        "a table may be large",
    ),
    replace(
        "lgc.c",
        "    lua_assert(ttype(gkey(n)) != LUA_TDEADKEY || ttisnil(gval(n)));\n",
        "    luaE_breathe_in(g->mainthread, i);\n",
        "as above",
    ),
    replace(
        "lgc.c",
        "  for (o = l->stack; o < l->top; o++)\n    markvalue(g, o);\n",
        "  for (o = l->stack; o < l->top; o++) {
    luaE_breathe_in(g->mainthread, o - l->stack);
    markvalue(g, o);
  }\n",
        "and so may a stack",
    ),
    replace(
        "lgc.c",
        "  while (g->gray) m += propagatemark(g);\n",
        "  while (g->gray) { luaE_breathe(g->mainthread, 4); m += propagatemark(g); }\n",
        "what has changed since it was marked is marked at once",
    ),
    replace(
        "lgc.c",
        "        TValue *o = &h->array[i];\n        if (iscleared(o, 0))",
        "        TValue *o = &h->array[i];\n        luaE_breathe_in(g->mainthread, i);\n        if (iscleared(o, 0))",
        "a weak table may be large",
    ),
    replace(
        "lgc.c",
        "      Node *n = gnode(h, i);\n      if (!ttisnil(gval(n)) &&",
        "      Node *n = gnode(h, i);\n      luaE_breathe_in(g->mainthread, i);\n      if (!ttisnil(gval(n)) &&",
        "as above",
    ),
    replace(
        "lgc.c",
        "static void cleartable (GCObject *l) {\n",
        "static void cleartable (global_State *g, GCObject *l) {\n",
        "as above",
    ),
    replace("lgc.c", "  cleartable(g->weak);", "  cleartable(g, g->weak);", "as above"),
    replace(
        "lgc.c",
        "    if (curr->gch.tt == LUA_TTHREAD)  /* sweep open",
        "    luaE_breathe(L, 1);\n    if (curr->gch.tt == LUA_TTHREAD)  /* sweep open",
        "strings of one hash are in one list",
    ),
    replace(
        "lgc.c",
        "    if (isgray(obj2gco(uv)))\n      markvalue(g, uv->v);\n",
        "    luaE_breathe(g->mainthread, 1);\n    if (isgray(obj2gco(uv)))\n      markvalue(g, uv->v);\n",
        "a script may have many upvalues",
    ),
    replace(
        "lfunc.c",
        "    GCObject *o = obj2gco(uv);\n    lua_assert(!isblack(o) && uv->v != &uv->u.value);\n",
        "    GCObject *o = obj2gco(uv);\n    luaE_breathe(L, 1);\n",
        "as above",
    ),
    // The compiler.
    replace(
        "llex.c",
        "#define next(ls) (ls->current = zgetc(ls->z))",
        "#define next(ls) \\
  ((--G(ls->L)->steps < 0 ? aleadb_pause(ls->L, 1) : (void)0), ls->current = zgetc(ls->z))",
        "a comment, a text or the room between words may be long",
    ),
    replace(
        "llex.c",
        "  ls->lastline = ls->linenumber;\n  if (ls->lookahead",
        "  luaE_step(ls->L, 1);\n  ls->lastline = ls->linenumber;\n  if (ls->lookahead",
        STEPS,
    ),
    replace(
        "lcode.c",
        "    int list = *l1;
    int next;
    while ((next = getjump(fs, list)) != NO_JUMP)  /* find last element */
      list = next;
    fixjump(fs, list, l2);
",
        "    int last1 = *l1, last2 = l2, next1, next2;
    for (;;) {  /* find the last element of the shorter list */
      luaE_step(fs->L, 1);
      if ((next1 = getjump(fs, last1)) == NO_JUMP) { fixjump(fs, last1, l2); break; }
      if ((next2 = getjump(fs, last2)) == NO_JUMP) { fixjump(fs, last2, *l1); *l1 = l2; break; }
      last1 = next1; last2 = next2;
    }
",
        "the order of jumps to one place is of no account, and to look for the end of a long list for each jump of a chain of \
         `elseif' takes time by the square of its length",
    ),
    replace(
        "ltable.c",
        "    luaG_runerror(L, \"invalid key to \" LUA_QL(\"next\"));  /* key not found */\n    return 0;  /* to avoid warnings */\n",
        "    return -2;  /* key not found */\n",
        "whoever asks decides what follows",
    ),
    replace(
        "ltable.c",
        "int luaH_getn (Table *t) {\n",
        "/* whether a table has a part for other keys than those of its array */
int aleadb_has_fields (const Table *t) {
  return t->node != dummynode;
}

int luaH_next (lua_State *L, Table *t, StkId key) {
  int i = findindex(L, t, key);  /* find original element */
  if (i == -2) luaG_runerror(L, \"invalid key to \" LUA_QL(\"next\"));
  return nextfrom(L, t, key, i);
}

int luaH_trynext (lua_State *L, Table *t, StkId key) {
  int i = findindex(L, t, key);
  return i == -2 ? -1 : nextfrom(L, t, key, i);
}

int luaH_getn (Table *t) {\n",
        "Rust looks through tables without errors that would jump over its frames",
    ),
    replace(
        "ltable.h",
        "LUAI_FUNC int luaH_getn (Table *t);\n",
        "LUAI_FUNC int luaH_getn (Table *t);\nLUAI_FUNC int luaH_trynext (lua_State *L, Table *t, StkId key);\n",
        "as above",
    ),
    // Steps of the libraries.
    replace("lauxlib.c", "#include \"lauxlib.h\"\n", "#include \"lauxlib.h\"\n#include \"lstate.h\"\n", STATE),
    replace("lbaselib.c", "#include \"lualib.h\"\n", "#include \"lualib.h\"\n#include \"lstate.h\"\n", STATE),
    replace("lstrlib.c", "#include \"lualib.h\"\n", "#include \"lualib.h\"\n#include \"lstate.h\"\n", STATE),
    replace("ltablib.c", "#include \"lualib.h\"\n", "#include \"lualib.h\"\n#include \"lstate.h\"\n", STATE),
    replace(
        "lauxlib.c",
        "LUALIB_API char *luaL_prepbuffer (luaL_Buffer *B) {\n",
        "LUALIB_API char *luaL_prepbuffer (luaL_Buffer *B) {\n  luaE_step(B->L, LUAL_BUFFERSIZE / 8);\n",
        "whatever makes a string by parts fills this buffer again and again",
    ),
    replace(
        "lauxlib.c",
        "  while (l--)\n    luaL_addchar(B, *s++);\n",
        "  while (l > 0) {
    size_t room = bufffree(B);
    if (room == 0) { luaL_prepbuffer(B); room = bufffree(B); }
    if (room > l) room = l;
    memcpy(B->p, s, room);
    B->p += room; s += room; l -= room;
  }\n",
        "a copy by bytes takes as long as ten steps say",
    ),
    replace("lstrlib.c", "  while (n-- > 0)\n", "  while (n-- > 0) { luaE_step(L, 1);\n", STEPS),
    replace(
        "lstrlib.c",
        "    luaL_addlstring(&b, s, l);\n  luaL_pushresult(&b);\n  return 1;\n}\n\n\nstatic int str_byte",
        "    luaL_addlstring(&b, s, l);\n  }\n  luaL_pushresult(&b);\n  return 1;\n}\n\n\nstatic int str_byte",
        STEPS,
    ),
    replace(
        "lstrlib.c",
        "static const char *lmemfind (const char *s1,",
        "static const char *lmemfind (lua_State *L, const char *s1,",
        STEPS,
    ),
    replace(
        "lstrlib.c",
        "      init++;   /* 1st char is already checked */\n",
        "      luaE_step(L, 1 + ((size_t)(init - s1) >> 6) + (l2 >> 6));\n      init++;   /* 1st char is already checked */\n",
        STEPS,
    ),
    replace(
        "lstrlib.c",
        "(init = (const char *)memchr(s1, *s2, l1)) != NULL",
        "(init = luaE_find(L, s1, *s2, l1)) != NULL",
        STEPS,
    ),
    replace("lstrlib.c", "memcmp(init, s2+1, l2) == 0", "luaE_compare(L, init, s2+1, l2) == 0", STEPS),
    replace("lstrlib.c", "lmemfind(s+init, l1-init, p, l2);", "lmemfind(L, s+init, l1-init, p, l2);", STEPS),
    replace(
        "lstrlib.c",
        "  init: /* using goto's to optimize tail recursion */\n",
        "  char here;
  if (&here < G(ms->L)->cstack_end) luaL_error(ms->L, \"pattern too complex\");
  init: /* using goto's to optimize tail recursion */
  luaE_step(ms->L, 1);\n",
        "as well: a pattern of many repetitions calls itself for each, and the stack has an end",
    ),
    replace(
        "lstrlib.c",
        "      const char *ep = classend(ms, p);  /* points to what is next */\n      int m =",
        "      const char *ep = classend(ms, p);  /* points to what is next */
      luaE_step(ms->L, (size_t)(ep - p) >> 2);
      int m =",
        "a class of characters may be as long as its pattern",
    ),
    replace(
        "lstrlib.c",
        "          ep = classend(ms, p);  /* points to what is next */\n",
        "          ep = classend(ms, p);  /* points to what is next */\n          luaE_step(ms->L, (size_t)(ep - p) >> 1);\n",
        "as above",
    ),
    replace(
        "lstrlib.c",
        "singlematch(uchar(*(s+i)), p, ep))\n    i++;\n",
        "singlematch(uchar(*(s+i)), p, ep)) {\n    luaE_step(ms->L, 1 + ((size_t)(ep - p) >> 2));\n    i++;\n  }\n",
        STEPS,
    ),
    replace(
        "lstrlib.c",
        "      s++;  /* try with one more repetition */\n",
        "    {\n      luaE_step(ms->L, 1 + ((size_t)(ep - p) >> 2));\n      s++;  /* try with one more repetition */\n    }\n",
        STEPS,
    ),
    replace(
        "lstrlib.c",
        "    while (++s < ms->src_end) {\n",
        "    while (++s < ms->src_end) {\n      luaE_step(ms->L, 1);\n",
        STEPS,
    ),
    replace(
        "lstrlib.c",
        "  len = ms->capture[l].len;\n",
        "  len = ms->capture[l].len;\n  luaE_step(ms->L, len >> 6);\n",
        STEPS,
    ),
    replace(
        "ltablib.c",
        "    lua_pop(L, 1);  /* remove value */\n    if (lua_type(L, -1) == LUA_TNUMBER) {\n",
        "    lua_pop(L, 1);  /* remove value */\n    luaE_step(L, 1);\n    if (lua_type(L, -1) == LUA_TNUMBER) {\n",
        STEPS,
    ),
    replace(
        "ltablib.c",
        "      for (i = e; i > pos; i--) {  /* move up elements */\n",
        "      for (i = e; i > pos; i--) {  /* move up elements */\n        luaE_step(L, 2);\n",
        STEPS,
    ),
    replace("ltablib.c", "  for ( ;pos<e; pos++) {\n", "  for ( ;pos<e; pos++) {\n    luaE_step(L, 2);\n", STEPS),
    replace(
        "ltablib.c",
        "static void addfield (lua_State *L, luaL_Buffer *b, int i) {\n",
        "static void addfield (lua_State *L, luaL_Buffer *b, int i) {\n  luaE_step(L, 2);\n",
        STEPS,
    ),
    replace(
        "ltablib.c",
        "static int sort_comp (lua_State *L, int a, int b) {\n",
        "static int sort_comp (lua_State *L, int a, int b) {\n  luaE_step(L, 2);\n",
        STEPS,
    ),
    // What scripts do most.
    replace(
        "lvm.c",
        "    if ((L->hookmask & (LUA_MASKLINE | LUA_MASKCOUNT)) &&
        (--L->hookcount == 0 || L->hookmask & LUA_MASKLINE)) {
      traceexec(L, pc);
      if (L->status == LUA_YIELD) {  /* did hook yield? */
        L->savedpc = pc - 1;
        return;
      }
      base = L->base;
    }
",
        "",
        "nothing sets a hook, which each instruction would look for",
    ),
    replace(
        "lvm.c",
        "        TValue *rb = KBx(i);
        sethvalue(L, &g, cl->env);
        lua_assert(ttisstring(rb));
        Protect(luaV_gettable(L, &g, rb, ra));\n",
        "        TValue *rb = KBx(i);
        const TValue *found = luaH_getstr(cl->env, rawtsvalue(rb));
        if (!ttisnil(found)) { setobj2s(L, ra, found); continue; }
        sethvalue(L, &g, cl->env);
        Protect(luaV_gettable(L, &g, rb, ra));\n",
        "a global that exists is found without a look at metatables",
    ),
    replace(
        "lvm.c",
        "        Protect(luaV_gettable(L, RB(i), RKC(i), ra));\n        continue;\n      }\n      case OP_SETGLOBAL: {\n",
        "        const TValue *rb = RB(i);
        TValue *rc = RKC(i);
        if (ttistable(rb)) {
          const TValue *found =
            ttisstring(rc) ? luaH_getstr(hvalue(rb), rawtsvalue(rc)) : luaH_get(hvalue(rb), rc);
          if (!ttisnil(found)) { setobj2s(L, ra, found); continue; }
        }
        Protect(luaV_gettable(L, rb, rc, ra));
        continue;
      }
      case OP_SETGLOBAL: {\n",
        "so is a field",
    ),
    replace(
        "lvm.c",
        "    lua_number2str(s, n);\n    setsvalue2s(L, obj, luaS_new(L, s));\n",
        "    if (n > -1e14 && n < 1e14 && (lua_Number)(ptrdiff_t)n == n && (n != 0 || 1 / n > 0)) {
      ptrdiff_t rest = (ptrdiff_t)(n < 0 ? -n : n);
      char *digit = s + LUAI_MAXNUMBER2STR;
      do *--digit = cast(char, '0' + rest % 10); while ((rest /= 10) > 0);
      if (n < 0) *--digit = '-';
      setsvalue2s(L, obj, luaS_newlstr(L, digit, s + LUAI_MAXNUMBER2STR - digit));
      return 1;
    }
    lua_number2str(s, n);
    setsvalue2s(L, obj, luaS_new(L, s));\n",
        "the digits of an integer of up to 14, as the format has them, without the format",
    ),
    replace(
        "lobject.h",
        "    lu_byte reserved;\n    unsigned int hash;\n",
        "    lu_byte reserved;\n    lu_byte mark;  /* what the server knows it by */\n    unsigned int hash;\n",
        "the name of a command is looked up once",
    ),
    replace(
        "lstring.c",
        "  ts->tsv.reserved = 0;\n",
        "  ts->tsv.reserved = 0;\n  ts->tsv.mark = 0;\n",
        "as above",
    ),
    replace(
        "lvm.c",
        "          setnvalue(ra, idx);  /* update internal index... */\n",
        "          ra->value.n = idx;  /* update internal index... */\n",
        "it has been a number since the loop began, and no script sees it",
    ),
    // Read-only tables.
    replace(
        "lobject.h",
        "  lu_byte lsizenode;  /* log2 of size of `node' array */\n",
        "  lu_byte lsizenode;  /* log2 of size of `node' array */\n  lu_byte readonly;  /* nothing can be assigned to its fields */\n",
        READONLY,
    ),
    replace(
        "lvm.c",
        "            setnilvalue(ra + j);
          }
        }
        continue;
      }
",
        "            setnilvalue(ra + j);
          }
        }
        continue;
      }
#if defined(__GNUC__)
      default: __builtin_unreachable();
#endif
",
        "there are no other instructions, which the compiler cannot know",
    ),
    replace("ltable.c", "  t->sizearray = 0;\n", "  t->sizearray = 0;\n  t->readonly = 0;\n", READONLY),
    replace(
        "lvm.c",
        "      TValue *oldval = luaH_set(L, h, key); /* do a primitive set */\n",
        "      TValue *oldval;
      if (h->readonly) luaG_runerror(L, \"Attempt to modify a readonly table\");
      oldval = luaH_set(L, h, key); /* do a primitive set */\n",
        READONLY,
    ),
    replace(
        "lapi.c",
        "  setobj2t(L, luaH_set(L, hvalue(t), L->top-2), L->top-1);\n",
        "  if (hvalue(t)->readonly) luaG_runerror(L, \"Attempt to modify a readonly table\");
  setobj2t(L, luaH_set(L, hvalue(t), L->top-2), L->top-1);\n",
        READONLY,
    ),
    replace(
        "lapi.c",
        "  setobj2t(L, luaH_setnum(L, hvalue(o), n), L->top-1);\n",
        "  if (hvalue(o)->readonly) luaG_runerror(L, \"Attempt to modify a readonly table\");
  setobj2t(L, luaH_setnum(L, hvalue(o), n), L->top-1);\n",
        READONLY,
    ),
    replace(
        "lapi.c",
        "      hvalue(obj)->metatable = mt;\n",
        "      if (hvalue(obj)->readonly) luaG_runerror(L, \"Attempt to modify a readonly table\");
      hvalue(obj)->metatable = mt;\n",
        READONLY,
    ),
    // The end of a script.
    replace(
        "lbaselib.c",
        "  status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);\n",
        "  status = lua_pcall(L, lua_gettop(L) - 1, LUA_MULTRET, 0);
  if (status != 0) {
    aleadb_rethrow_if_killed(L);
    if (lua_istable(L, -1)) {
      lua_getfield(L, -1, \"err\");
      if (lua_isstring(L, -1)) lua_replace(L, -2);
    }
  }\n",
        "as above; and as in Redis, of an error object the text is shown, and nil after any other table",
    ),
    replace(
        "lbaselib.c",
        "static int luaB_pcall (lua_State *L) {\n  int status;\n  luaL_checkany(L, 1);\n",
        "static int luaB_pcall (lua_State *L) {
  int status;
  if (lua_gettop(L) == 0) {
    lua_pushboolean(L, 0);
    lua_pushliteral(L, \"attempt to call a boolean value\");
    return 2;
  }\n",
        "what Redis answers where there is nothing to call",
    ),
    replace(
        "lbaselib.c",
        "  status = lua_pcall(L, 0, LUA_MULTRET, 1);\n",
        "  status = lua_pcall(L, 0, LUA_MULTRET, 1);\n  if (status != 0) aleadb_rethrow_if_killed(L);\n",
        KILLED,
    ),
    replace(
        "lbaselib.c",
        "    lua_xmove(co, L, 1);  /* move error message */\n",
        "    lua_xmove(co, L, 1);  /* move error message */\n    aleadb_rethrow_if_killed(L);\n",
        KILLED,
    ),
    replace(
        "lbaselib.c",
        "static int load_aux (lua_State *L, int status) {\n",
        "static int load_aux (lua_State *L, int status) {\n  if (status != 0) aleadb_rethrow_if_killed(L);\n",
        KILLED,
    ),
    replace(
        "lstate.h",
        "LUAI_FUNC lua_State *luaE_newthread (lua_State *L);\n",
        "extern void aleadb_rethrow_if_killed (lua_State *L);\nLUAI_FUNC lua_State *luaE_newthread (lua_State *L);\n",
        KILLED,
    ),
    // Memory.
    replace(
        "lgc.c",
        "#define setthreshold(g)  (g->GCthreshold = (g->estimate/100) * g->gcpause)\n",
        "#define setthreshold(g)  { \\
  g->GCthreshold = (g->estimate/100) * g->gcpause + ALEADB_GARBAGE; \\
  if (g->GCthreshold > g->memory_limit) \\
    g->GCthreshold = g->memory_limit > g->estimate ? \\
      g->estimate + (g->memory_limit - g->estimate) / 2 : g->memory_limit; }\n",
        "garbage is collected before it fills the memory that the script may have, and not before there is some",
    ),
    replace(
        "lgc.c",
        "void luaC_step (lua_State *L) {
  global_State *g = G(L);
  l_mem lim = (GCSTEPSIZE/100) * g->gcstepmul;
",
        "void luaC_emergency (lua_State *L) {
  global_State *g = G(L);
  int is_stopped = g->GCthreshold == MAX_LUMEM;
  g->emergency = 1;
  luaC_fullgc(L);
  luaZ_freebuffer(L, &g->buff);  /* what is concatenated there has become a string */
  g->emergency = 0;
  if (is_stopped) g->GCthreshold = MAX_LUMEM;  /* as the script wants it */
  if (g->totalbytes > g->memory_limit - g->memory_margin && L->errorJmp != NULL) luaD_throw(L, LUA_ERRMEM);
}


/* some of a collection, however much has been allocated since the last; 1 at its end */
int aleadb_tidy (lua_State *L, ptrdiff_t work) {
  global_State *g = G(L);
  do {
    work -= singlestep(L);
    if (g->gcstate == GCSpause) {
      setthreshold(g);
      return 1;
    }
  } while (work > 0);
  return 0;
}


void luaC_step (lua_State *L) {
  global_State *g = G(L);
  l_mem lim = (GCSTEPSIZE/100) * g->gcstepmul;
  if (g->totalbytes > g->memory_limit && aleadb_may_raise(L)) {
    luaC_emergency(L);
    return;
  }
",
        "what a script may have is what it uses, not what it has left behind",
    ),
    replace(
        "lgc.c",
        "  if (L->size_ci > LUAI_MAXCALLS)  /* handling overflow? */\n",
        "  if (G(L)->emergency || L->size_ci > LUAI_MAXCALLS)  /* handling overflow? */\n",
        "there are pointers into the stack where memory turns out to be short",
    ),
    replace(
        "lgc.c",
        "  if (g->strt.nuse < cast(lu_int32, g->strt.size/4) &&\n",
        "  if (!g->emergency && g->strt.nuse < cast(lu_int32, g->strt.size/4) &&\n",
        "the smaller table would be allocated where nothing is to be",
    ),
    replace(
        "lstate.c",
        "  luaS_fix(luaS_newliteral(L, MEMERRMSG));\n",
        "  luaS_fix(luaS_newliteral(L, MEMERRMSG));\n  luaS_fix(luaS_newliteral(L, \"error in error handling\"));\n",
        "a text that is asked for when an error is cleared up, where another one would end the process",
    ),
    // Known holes.
    replace(
        "ldo.c",
        "  int c = luaZ_lookahead(p->z);\n",
        "  luaZ_lookahead(p->z);\n",
        "compiled code is not checked when it is loaded, so it is not loaded",
    ),
    replace(
        "ldo.c",
        "  tf = ((c == LUA_SIGNATURE[0]) ? luaU_undump : luaY_parser)(L, p->z,
                                                             &p->buff, p->name);\n",
        "  tf = luaY_parser(L, p->z, &p->buff, p->name);\n",
        "as above",
    ),
    replace(
        "lparser.c",
        "  luaX_setinput(L, &lexstate, z, luaS_new(L, name));\n",
        "  TString *source = luaS_new(L, name);
  setsvalue2s(L, L->top, source);
  incr_top(L);
  luaX_setinput(L, &lexstate, z, source);\n",
        "the chunk's name is referred to from the stack while the chunk is parsed, or it is collected (CVE-2025-49844)",
    ),
    replace(
        "lparser.c",
        "  lua_assert(lexstate.fs == NULL);\n  return funcstate.f;\n",
        "  lua_assert(lexstate.fs == NULL);\n  L->top--;  /* the chunk's name */\n  return funcstate.f;\n",
        "as above",
    ),
    replace(
        "lbaselib.c",
        "  n = e - i + 1;  /* number of elements */
  if (n <= 0 || !lua_checkstack(L, n))  /* n <= 0 means arith. overflow */
    return luaL_error(L, \"too many results to unpack\");
  lua_rawgeti(L, 1, i);  /* push arg[i] (avoiding overflow problems) */
  while (i++ < e)  /* push arg[i + 1...e] */
    lua_rawgeti(L, 1, i);\n",
        "  if ((unsigned int)e - (unsigned int)i >= LUAI_MAXCSTACK)
    return luaL_error(L, \"too many results to unpack\");
  n = (int)((unsigned int)e - (unsigned int)i) + 1;  /* number of elements */
  if (!lua_checkstack(L, n))
    return luaL_error(L, \"too many results to unpack\");
  luaE_step(L, n);
  for (e = 0; e < n; e++)
    lua_rawgeti(L, 1, (int)((unsigned int)i + (unsigned int)e));\n",
        "the number of elements overflows (CVE-2025-46817)",
    ),
    replace(
        "llex.c",
        "    save_and_next(ls);\n    count++;\n",
        "    save_and_next(ls);
    if (++count >= MAX_INT - 2) luaX_lexerror(ls, \"lexical element too long\", 0);\n",
        "the level of a long bracket overflows (CVE-2025-46819)",
    ),
    replace(
        "loslib.c",
        "  {\"date\",      os_date},
  {\"difftime\",  os_difftime},
  {\"execute\",   os_execute},
  {\"exit\",      os_exit},
  {\"getenv\",    os_getenv},
  {\"remove\",    os_remove},
  {\"rename\",    os_rename},
  {\"setlocale\", os_setlocale},
  {\"time\",      os_time},
  {\"tmpname\",   os_tmpname},\n",
        "",
        "scripts have the processor's clock of the operating system, and nothing else",
    ),
    replace("lbaselib.c", "  {\"loadfile\", luaB_loadfile},\n", "", "there are no files"),
    replace("lbaselib.c", "  {\"dofile\", luaB_dofile},\n", "", "there are no files"),
    replace(
        "lbaselib.c",
        "  lua_setglobal(L, \"newproxy\");  /* set global `newproxy' */\n",
        "  lua_pop(L, 1);\n",
        "no userdata, and so no finalizers that run inside a collection (CVE-2024-46981)",
    ),
];
