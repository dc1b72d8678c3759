package disk

import (
	"fmt"
	"os"
	"path"
	"runtime"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// parkingFS is the file system that pebble gets. Where pebble has no answer to
// a failed operation but to panic or to end the process, the error does not
// reach it: the store dies of it, and the goroutine is parked.
//
// Catching the panic would not do. pebble panics between an Unlock and the
// Lock that its caller's deferred Unlock expects (rotateWAL), and unlocking a
// mutex that is not locked ends the process past any recover. Nor would parking
// in Fatalf: it is called with the database's mutex held (logAndApply), which
// reads need.
type parkingFS struct {
	vfs.FS
	death *death
	stage atomic.Int32 // of type stage
	// closing is closed when the store enters stageClosing.
	closing chan struct{}
}

// stage says what becomes of an operation that failed.
type stage int32

const (
	// stageOpening: pebble returns the error, from its Open.
	stageOpening stage = iota
	// stageOpen: parked, but for tables, which pebble tries again.
	stageOpen
	// stageClosing: pebble returns the error, from its Close; nobody writes.
	stageClosing
	// stageAbandoned: parked.
	stageAbandoned
)

func newParkingFS(fs vfs.FS, d *death) *parkingFS {
	return &parkingFS{FS: fs, death: d, closing: make(chan struct{})}
}

// enter changes the stage, which never goes back: an Open that was abandoned
// may come to its end later.
func (fs *parkingFS) enter(next stage) {
	for {
		now := fs.stage.Load()
		if now >= int32(next) {
			return
		}
		if fs.stage.CompareAndSwap(now, int32(next)) {
			break
		}
	}
	if next == stageClosing {
		close(fs.closing)
	}
}

// judged returns err if pebble may see it, and doesn't return otherwise.
func (fs *parkingFS) judged(op, name string, err error) error {
	if err == nil {
		return nil
	}
	switch stage(fs.stage.Load()) {
	case stageOpening, stageClosing:
		return err
	case stageAbandoned:
		fs.death.park(err)
	}
	if !isTable(name) {
		fs.death.park(fmt.Errorf("%s %s: %w", op, path.Base(name), err))
	}
	if fs.death.isDead() {
		// pebble would try again at once, and for ever.
		<-fs.closing
	}
	return err
}

// isTable tells the files whose loss pebble survives from the log, the
// MANIFEST and what points to them, and the directory.
func isTable(name string) bool {
	switch path.Ext(name) {
	case ".sst", ".blob":
		return true
	}
	return false
}

func (fs *parkingFS) file(op, name string, f vfs.File, err error) (vfs.File, error) {
	if err = fs.judged(op, name, err); err != nil {
		return nil, err
	}
	return &parkingFile{File: f, fs: fs, name: name}, nil
}

func (fs *parkingFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.Create(name, category)
	return fs.file("create", name, f, err)
}

func (fs *parkingFS) OpenReadWrite(name string, category vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	f, err := fs.FS.OpenReadWrite(name, category, opts...)
	return fs.file("open", name, f, err)
}

func (fs *parkingFS) ReuseForWrite(oldname, newname string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(oldname, newname, category)
	return fs.file("reuse", newname, f, err)
}

func (fs *parkingFS) OpenDir(name string) (vfs.File, error) {
	f, err := fs.FS.OpenDir(name)
	return fs.file("open", name, f, err)
}

func (fs *parkingFS) Rename(oldname, newname string) error {
	return fs.judged("rename", newname, fs.FS.Rename(oldname, newname))
}

func (fs *parkingFS) Link(oldname, newname string) error {
	return fs.judged("link", newname, fs.FS.Link(oldname, newname))
}

func (fs *parkingFS) MkdirAll(dir string, perm os.FileMode) error {
	return fs.judged("make", dir, fs.FS.MkdirAll(dir, perm))
}

func (fs *parkingFS) Unwrap() vfs.FS { return fs.FS }

// parkingFile is a file that pebble writes, or a directory that it syncs. What
// it only reads is not wrapped, and neither is removal: those it can take.
type parkingFile struct {
	vfs.File
	fs   *parkingFS
	name string
}

func (f *parkingFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	if isTable(f.name) {
		// A flush or a merge works for as long as the scheduler lets it, 10 ms at a
		// time. With few processors lookups would wait for that.
		runtime.Gosched()
	}
	return n, f.fs.judged("write", f.name, err)
}

func (f *parkingFile) WriteAt(p []byte, at int64) (int, error) {
	n, err := f.File.WriteAt(p, at)
	return n, f.fs.judged("write", f.name, err)
}

func (f *parkingFile) Sync() error { return f.fs.judged("sync", f.name, f.File.Sync()) }

func (f *parkingFile) SyncData() error { return f.fs.judged("sync", f.name, f.File.SyncData()) }

func (f *parkingFile) SyncTo(length int64) (bool, error) {
	full, err := f.File.SyncTo(length)
	return full, f.fs.judged("sync", f.name, err)
}

// Stat is asked for the size of a log that is used again.
func (f *parkingFile) Stat() (vfs.FileInfo, error) {
	i, err := f.File.Stat()
	return i, f.fs.judged("stat", f.name, err)
}

func (f *parkingFile) Close() error { return f.fs.judged("close", f.name, f.File.Close()) }
