package local

import "github.com/lashstore/lashstore"

// OSProcesses is the process table of the operating system.
var OSProcesses lashstore.ProcessTable = osProcesses{}
