package disk

import (
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// tallyFS counts what its files take, to the byte and at any moment, and holds
// merges up on demand.
type tallyFS struct {
	vfs.FS
	mu        sync.Mutex
	sizes     map[string]int64
	now, most int64
	held      chan struct{} // merges go on when it is closed; nil: at once
}

func newTallyFS() *tallyFS { return &tallyFS{FS: vfs.NewMem(), sizes: make(map[string]int64)} }

// hold keeps merges from writing until release is called.
func (fs *tallyFS) hold() (release func()) {
	held := make(chan struct{})
	fs.mu.Lock()
	fs.held = held
	fs.mu.Unlock()
	return sync.OnceFunc(func() {
		fs.mu.Lock()
		fs.held = nil
		fs.mu.Unlock()
		close(held)
	})
}

// peak returns the most that the files took since it was called last.
func (fs *tallyFS) peak() int64 {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	most := fs.most
	fs.most = fs.now
	return most
}

// sized notes that name takes size bytes; less than it did only where it begins
// anew, or is gone.
func (fs *tallyFS) sized(name string, size int64) {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	fs.now += size - fs.sizes[name]
	fs.sizes[name] = size
	fs.most = max(fs.most, fs.now)
}

func (fs *tallyFS) size(name string) int64 {
	fs.mu.Lock()
	defer fs.mu.Unlock()
	return fs.sizes[name]
}

func (fs *tallyFS) Unwrap() vfs.FS { return fs.FS }

func (fs *tallyFS) Create(name string, category vfs.DiskWriteCategory) (vfs.File, error) {
	if category == "pebble-compaction" {
		fs.mu.Lock()
		held := fs.held
		fs.mu.Unlock()
		if held != nil {
			<-held
		}
	}
	f, err := fs.FS.Create(name, category)
	fs.sized(name, 0)
	return &tallyFile{File: f, fs: fs, name: name}, err
}

func (fs *tallyFS) ReuseForWrite(from, to string, category vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := fs.FS.ReuseForWrite(from, to, category)
	fs.moved(from, to)
	return &tallyFile{File: f, fs: fs, name: to}, err
}

func (fs *tallyFS) Rename(from, to string) error {
	err := fs.FS.Rename(from, to)
	fs.moved(from, to)
	return err
}

func (fs *tallyFS) moved(from, to string) {
	size := fs.size(from)
	fs.sized(from, 0)
	fs.sized(to, size)
}

func (fs *tallyFS) Remove(name string) error {
	err := fs.FS.Remove(name)
	fs.sized(name, 0)
	return err
}

// tallyFile is a file that is written from its beginning on.
type tallyFile struct {
	vfs.File
	fs   *tallyFS
	name string
	at   int64
}

func (f *tallyFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	f.at += int64(n)
	f.fs.sized(f.name, max(f.at, f.fs.size(f.name)))
	return n, err
}
