package disk

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/raptorflow/tercet/internal/events"
)

// Config says where a store lies and how much memory it takes.
type Config struct {
	// Dir is the store's directory, made if it is missing; one process at a
	// time. Empty: the store is in memory and ends with the process.
	Dir string
	// Partitions is the number of the domain's partitions, default 1, and
	// Partition says in which of them a key lies; it may be nil for one.
	Partitions int
	Partition  func(key string) int
	// CacheBytes is the memory for blocks read; default 64 MiB. Less: more
	// lookups read the disk.
	CacheBytes int64
	// MemTableBytes is the memory for writes before they go to a file; up to
	// four are in use. Default 16 MiB. Less: more files to merge; more: a
	// longer restart.
	MemTableBytes int
	// Budget bounds what the store takes on disk, in bytes, all files together;
	// 0: nothing does, else at least 8 MiB. About half of it holds values,
	// the rest is for fences, the log of writes, and what compactions hold
	// twice. Values that find no room are evicted or not stored; fences are.
	Budget int64
	// MaxEntry is the largest entry kept, in bytes with its header; default
	// 1 MiB, at most a 64th of Budget. A larger one leaves its fence only.
	MaxEntry int
	// StallLimit is how long pebble may hold writes up, because the disk does
	// not keep up, before the store counts as dead; default 5 s. Longer: fences
	// wait longer for a bad disk. Shorter: a busy disk costs the tier.
	StallLimit time.Duration
	// FS is the file system; default the machine's. It is for tests.
	FS vfs.FS
	// Logger takes what an operator should hear of; default none.
	Logger *slog.Logger
	// Now is the wall clock in Unix milliseconds, by which [Store.Scan] and
	// [Store.Tier] judge expiry; default the system's.
	Now func() int64

	// fleeting: the store ends with the process.
	fleeting bool
}

const (
	defaultCache    = 64 << 20
	defaultMemTable = 16 << 20
	defaultMaxEntry = 1 << 20
	memTables       = 4

	defaultStallLimit = 5 * time.Second
)

var discard = slog.New(slog.DiscardHandler)

// ErrLocked reports a directory that another process, or another store of this
// one, has open.
var ErrLocked = errors.New("directory is in use")

// ErrForeign reports a directory of another format.
var ErrForeign = errors.New("directory of another format")

// Opening says what [Open] found.
type Opening struct {
	// Fresh: the store began empty.
	Fresh bool
	// SetAside is where a directory was moved that couldn't be opened, empty
	// if there was none; Cause is why.
	SetAside string
	Cause    error
}

// Open opens the store in cfg.Dir and starts its writer, which [Store.Close]
// ends. A store that can't be opened is moved aside and a fresh one made in
// its place; see [Store.Opened]. Open fails if the directory is in use
// ([ErrLocked]), or if no fresh store can be made either.
func Open(cfg Config) (*Store, error) {
	cfg, err := cfg.complete()
	if err != nil {
		return nil, err
	}
	d := directory{fs: cfg.FS, path: cfg.Dir}
	lock, err := d.lock()
	if err != nil {
		return nil, err
	}
	d.sweep(cfg.Logger)
	s, err := open(cfg, d)
	if err != nil {
		_ = lock.Close()
		return nil, err
	}
	s.lock = lock
	return s, nil
}

// complete returns cfg with its defaults.
func (cfg Config) complete() (Config, error) {
	preset(&cfg.Partitions, 1)
	preset(&cfg.CacheBytes, defaultCache)
	preset(&cfg.MemTableBytes, defaultMemTable)
	preset(&cfg.MaxEntry, defaultMaxEntry)
	preset(&cfg.StallLimit, defaultStallLimit)
	switch {
	case cfg.Partitions < 0 || cfg.Partitions >= formatPartition || cfg.Partitions > 1 && cfg.Partition == nil:
		return cfg, fmt.Errorf("%w disk tier: %d partitions and no way to tell them apart", events.ErrInvalid, cfg.Partitions)
	case cfg.Budget != 0 && cfg.Budget < leastBudget:
		return cfg, fmt.Errorf("%w disk tier: a budget of %d bytes, at least %d", events.ErrInvalid, cfg.Budget, leastBudget)
	case cfg.CacheBytes < 0 || cfg.MemTableBytes < 0 || cfg.MaxEntry < 0 || cfg.StallLimit < 0:
		return cfg, fmt.Errorf("%w disk tier: a negative limit", events.ErrInvalid)
	}
	if cfg.Budget > 0 {
		cfg.MaxEntry = min(cfg.MaxEntry, int(cfg.Budget/64))
	}
	if cfg.Partition == nil {
		cfg.Partition = func(string) int { return 0 }
	}
	if cfg.FS == nil {
		cfg.FS = vfs.Default
		if cfg.Dir == "" {
			cfg.FS, cfg.fleeting = vfs.NewMem(), true
		}
	}
	if cfg.Dir == "" {
		cfg.Dir = "memory"
	}
	if cfg.Logger == nil {
		cfg.Logger = discard
	}
	if cfg.Now == nil {
		cfg.Now = func() int64 { return time.Now().UnixMilli() }
	}
	return cfg, nil
}

func open(cfg Config, d directory) (*Store, error) {
	n, found, err := d.latest()
	if err != nil {
		return nil, fmt.Errorf("open disk tier: %w", err)
	}
	var opened Opening
	if found {
		db, ledger, death, err := openPebble(cfg, d.generation(n))
		if err == nil {
			return newStore(cfg, d, n, db, ledger, death, opened), nil
		}
		opened.Cause = err
		if opened.SetAside, err = d.setAside(n); err != nil {
			return nil, fmt.Errorf("open disk tier: set aside a store that can't be opened (%w): %w", opened.Cause, err)
		}
		cfg.Logger.Warn("disk tier begins afresh", "set aside", opened.SetAside, "cause", opened.Cause)
		n++
	}
	opened.Fresh = true
	if err := d.room(cfg); err != nil {
		return nil, fmt.Errorf("open disk tier: %w", err)
	}
	db, ledger, death, err := openPebble(cfg, d.generation(n))
	if err != nil {
		return nil, fmt.Errorf("open disk tier: %w", err)
	}
	if err := d.sync(); err != nil {
		_ = death.guarded(func() error { return death.close(db) })
		return nil, fmt.Errorf("open disk tier: %w", err)
	}
	return newStore(cfg, d, n, db, ledger, death, opened), nil
}

// ledger is what a database holds of the store as a whole.
type ledger struct {
	floors floors
	epochs []events.Epoch
}

// openPebble opens one generation, or whatever adjust makes of it, and checks
// its format.
func openPebble(cfg Config, dir string, adjust ...func(*pebble.Options)) (*pebble.DB, ledger, *death, error) {
	dt := newDeath(cfg.Logger, cfg.StallLimit)
	o := &pebble.Options{
		FS:                          cfg.FS,
		CacheSize:                   cfg.CacheBytes,
		MemTableStopWritesThreshold: memTables,
		// The apply loop must not wait for compactions.
		L0StopWritesThreshold: 1000,
		// Explicit: a later pebble must not raise it unasked, for there is no
		// way back.
		FormatMajorVersion: pebble.FormatTableFormatV6,
		Logger:             dt,
		EventListener:      dt.listener(),
	}
	// Lookups by iterator don't mean that tables should be merged, and those by
	// Get don't say so either.
	o.Experimental.ReadSamplingMultiplier = -1
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
	}
	cfg.size(o)
	for _, f := range adjust {
		f(o)
	}
	o.WithFSDefaults() // watches for slow operations
	// Outermost: one that is parked is not slow.
	dt.fs = newParkingFS(o.FS, dt)
	o.FS = dt.fs
	var db *pebble.DB
	var l ledger
	err := dt.guarded(func() error {
		made, err := pebble.Open(dir, o)
		if err != nil {
			return err
		}
		dt.fs.enter(stageOpen)
		if err := checkFormat(made, o); err != nil {
			return errors.Join(err, dt.close(made))
		}
		if l.floors, err = readFloors(made, cfg.Partitions); err != nil {
			return errors.Join(err, dt.close(made))
		}
		if l.epochs, err = readEpochs(made); err != nil {
			return errors.Join(err, dt.close(made))
		}
		db = made
		return nil
	})
	if err != nil {
		dt.fs.enter(stageAbandoned)
		return nil, ledger{}, nil, err
	}
	return db, l, dt, nil
}

// size sets how much o holds in memory, and in one file.
func (cfg Config) size(o *pebble.Options) {
	o.MemTableSize = uint64(cfg.MemTableBytes)
	shape(o, cfg.Budget)
	if cfg.fleeting {
		// A log of writes is for those who come back. And whether rows lie in a
		// memtable or in a file, they take memory: the more of them one takes in,
		// the fewer are merged again and again.
		o.DisableWAL = true
		o.MemTableSize = max(o.MemTableSize, min(uint64(cfg.MemTableBytes), uint64(cfg.Budget/16)))
	}
}

func checkFormat(db *pebble.DB, o *pebble.Options) error {
	name := append(appendName(nil, formatPartition, 0), formatName...)
	v, closer, err := db.Get(name)
	switch {
	case err == nil:
		got := string(v)
		if err := closer.Close(); err != nil {
			return err
		}
		if got != Format {
			return fmt.Errorf("%w: %q, this build knows %q", ErrForeign, got, Format)
		}
		return nil
	case !errors.Is(err, pebble.ErrNotFound):
		return err
	}
	it, err := db.NewIter(nil)
	if err != nil {
		return err
	}
	empty := !it.First()
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return err
	}
	if !empty {
		return fmt.Errorf("%w: rows and no format", ErrForeign)
	}
	if o.DisableWAL {
		return db.Set(name, []byte(Format), pebble.NoSync) // see Restore
	}
	return db.Set(name, []byte(Format), pebble.Sync)
}

// directory holds generations of a store: pebble-<n>, of which the highest is
// in use, and the latest that was set aside, pebble-<n>.broken. A generation's
// path is never used twice, because pebble keeps a path locked for as long as
// a store that died in this process is not closed, which it may never be.
type directory struct {
	fs   vfs.FS
	path string
}

const (
	generationName = "pebble-"
	brokenName     = ".broken"
)

func (d directory) generation(n int) string {
	return d.fs.PathJoin(d.path, generationName+strconv.Itoa(n))
}

func (d directory) lock() (io.Closer, error) {
	if err := d.fs.MkdirAll(d.path, 0o755); err != nil {
		return nil, fmt.Errorf("open disk tier: %w", err)
	}
	l, err := d.fs.Lock(d.fs.PathJoin(d.path, "LOCK"))
	if err != nil {
		return nil, fmt.Errorf("open disk tier in %s: %w: %w", d.path, ErrLocked, err)
	}
	return l, nil
}

// leastRoom is what has to be free, in bytes, for a store without a budget to
// begin with; a store with one needs a 16th of it, if that is less.
const leastRoom = 64 << 20

// room says whether a new store would do more than fill the disk up and die: one
// that dies may keep its memory for as long as the process lives.
func (d directory) room(cfg Config) error {
	least := uint64(leastRoom)
	if cfg.Budget > 0 {
		least = min(least, uint64(cfg.Budget)/16)
	}
	u, err := d.fs.GetDiskUsage(d.path)
	if err == nil && u.AvailBytes < least { // not every file system knows
		return fmt.Errorf("%d bytes are free, a new store needs %d: %w", u.AvailBytes, least, syscall.ENOSPC)
	}
	return nil
}

// sync makes the names of the directory and of what lies in it survive a power
// loss; pebble does so within its own directory only.
func (d directory) sync() error {
	for _, dir := range []string{d.path, d.fs.PathDir(d.path)} {
		f, err := d.fs.OpenDir(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// latest returns the number of the generation in use; if there is none, that
// of the first to make.
func (d directory) latest() (n int, found bool, err error) {
	names, err := d.fs.List(d.path)
	if err != nil {
		return 0, false, err
	}
	next := 1
	for _, name := range names {
		digits, ok := strings.CutPrefix(path.Base(name), generationName)
		if !ok {
			continue
		}
		digits, broken := strings.CutSuffix(digits, brokenName)
		g, err := strconv.Atoi(digits)
		if err != nil || g < 1 {
			continue // not ours
		}
		if broken {
			next = max(next, g+1)
			continue
		}
		if !found || g > n {
			n, found = g, true
		}
	}
	if !found {
		return next, false, nil
	}
	return n, true, nil
}

// setAside renames generation n, for somebody to look at, and removes what was
// set aside before: a disk should not fill up with the broken.
func (d directory) setAside(n int) (string, error) {
	names, err := d.fs.List(d.path)
	if err != nil {
		return "", err
	}
	for _, name := range names {
		base := path.Base(name)
		if strings.HasPrefix(base, generationName) && strings.HasSuffix(base, brokenName) {
			if err := d.fs.RemoveAll(d.fs.PathJoin(d.path, base)); err != nil {
				return "", err
			}
		}
	}
	to := d.generation(n) + brokenName
	return to, d.fs.Rename(d.generation(n), to)
}

// discard gets rid of generation n, which died of why.
func (d directory) discard(n int, why error) error {
	aside, err := d.setAside(n)
	if err != nil || !errors.Is(why, syscall.ENOSPC) {
		return err
	}
	// Its content would keep the disk full; its name keeps the number taken.
	return errors.Join(d.fs.RemoveAll(aside), d.fs.MkdirAll(aside, 0o755))
}

func preset[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
