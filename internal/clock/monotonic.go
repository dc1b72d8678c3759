package clock

import "time"

var processStart = time.Now()

func monotonic() int64 { return int64(time.Since(processStart)) }
