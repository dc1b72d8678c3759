//go:build !linux

package memory

import "github.com/coocood/freecache"

func askHugePages(*freecache.Cache) {}
