package results

import (
	"context"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"
)

// Fingerprint is the environment of a run. A number without it means little: the
// same server answers 5 % slower with another setting of the kernel and half as
// often with half the CPUs.
//
// A field that the host does not tell stays at its zero value (nil, "" or 0),
// which stands for absent and is neither printed nor encoded. The name of the
// host is left out on purpose, as run files are published.
type Fingerprint struct {
	Start time.Time `json:"start"` // when it was taken, UTC

	GoVersion  string `json:"go"`
	GOOS       string `json:"goos"`
	GOARCH     string `json:"goarch"`
	GOMAXPROCS int    `json:"gomaxprocs"`
	GOGC       string `json:"gogc"`       // percent, or "off"
	GOMEMLIMIT string `json:"gomemlimit"` // bytes, or "off"
	GODEBUG    string `json:"godebug,omitempty"`

	Kernel   string `json:"kernel,omitempty"`    // name and release
	CPUModel string `json:"cpu_model,omitempty"` // as the host names it
	CPUs     int    `json:"cpus,omitempty"`      // online in the host
	Memory   uint64 `json:"memory_bytes,omitempty"`
	Virt     string `json:"virt,omitempty"` // hint: "vm", "container", with a product name where known

	// CPU sets in the kernel's list format, for instance "0-3,8". The last two
	// are set by who pins processes.
	CPUSet        string `json:"cpu_set,omitempty"`
	ServerCPUs    string `json:"server_cpus,omitempty"`
	GeneratorCPUs string `json:"generator_cpus,omitempty"`

	// CgroupCPUs is the CPU quota of the control group in CPUs, "1.5", or "max"
	// where the group has none. It is the tightest of the group and those above.
	CgroupCPUs    string `json:"cgroup_cpus,omitempty"`
	CgroupVersion int    `json:"cgroup_version,omitempty"`

	// NoFile is the limit on open descriptors: soft/hard.
	NoFile string `json:"nofile,omitempty"`

	THP      string `json:"thp,omitempty"`      // transparent huge pages
	Governor string `json:"governor,omitempty"` // of the CPU frequency

	// Sysctls holds kernel settings by name, for instance "net.core.somaxconn".
	Sysctls map[string]string `json:"sysctls,omitempty"`

	Commit string `json:"commit,omitempty"` // of the checkout in the working directory
	Dirty  *bool  `json:"dirty,omitempty"`  // whether it has changes, nil without a commit

	// LoadAverage is that of the last 1, 5 and 15 minutes, at Start.
	LoadAverage []float64 `json:"load_average,omitempty"`
}

// KeyValue is one line of a fingerprint, or any other fact about a run.
type KeyValue struct {
	// Key is lower case without spaces, as benchmark format demands of keys.
	Key string `json:"key"`

	// Value is one line.
	Value string `json:"value"`

	// Config tells that results of different values are not comparable. Such a
	// pair is a configuration line in the run file, and benchstat makes a table
	// for each value. All others are comments to it.
	Config bool `json:"config,omitempty"`
}

// Collect takes the fingerprint of this process and its host. Reading fails for
// parts of it on most hosts; these are absent. The only error is that of ctx.
func Collect(ctx context.Context) (Fingerprint, error) {
	return hostRoot{proc: "/proc", sys: "/sys", dir: "."}.collect(ctx)
}

// hostRoot is where a host describes itself. Tests have one of their own.
type hostRoot struct {
	proc, sys string
	dir       string // of the checkout
}

func (h hostRoot) collect(ctx context.Context) (Fingerprint, error) {
	f := Fingerprint{
		Start:      time.Now().UTC(),
		GoVersion:  runtime.Version(),
		GOOS:       runtime.GOOS,
		GOARCH:     runtime.GOARCH,
		GOMAXPROCS: runtime.GOMAXPROCS(0),
		GODEBUG:    os.Getenv("GODEBUG"),
	}
	f.GOGC, f.GOMEMLIMIT = collectorSettings()
	h.readHost(&f)
	f.Commit, f.Dirty = revision(ctx, h.dir)
	if err := ctx.Err(); err != nil {
		return Fingerprint{}, err
	}
	return f, nil
}

// collectorSettings reads what is in force rather than the environment, which
// a program may have overruled.
func collectorSettings() (gogc, limit string) {
	s := []metrics.Sample{{Name: "/gc/gogc:percent"}, {Name: "/gc/gomemlimit:bytes"}}
	metrics.Read(s)
	const none = 1<<63 - 1 // the runtime's word for no limit, of either kind
	text := func(v metrics.Value, off uint64) string {
		if v.Kind() != metrics.KindUint64 {
			return ""
		}
		if n := v.Uint64(); n < off {
			return strconv.FormatUint(n, 10)
		}
		return "off"
	}
	// With GOGC=off the metric is the unsigned form of -1.
	return text(s[0].Value, none), text(s[1].Value, none)
}

// Lines returns the fingerprint as facts, in an order that never changes. Absent
// ones are left out.
func (f Fingerprint) Lines() []KeyValue {
	var lines []KeyValue
	add := func(key, value string) {
		if value = oneLine(value); value != "" {
			lines = append(lines, KeyValue{Key: key, Value: value})
		}
	}
	number := func(n int) string {
		if n == 0 {
			return ""
		}
		return strconv.Itoa(n)
	}
	if !f.Start.IsZero() {
		add("date", f.Start.UTC().Format(time.RFC3339Nano))
	}
	add("commit", f.Commit)
	if f.Dirty != nil {
		add("dirty", strconv.FormatBool(*f.Dirty))
	}
	var load []string
	for _, l := range f.LoadAverage {
		load = append(load, strconv.FormatFloat(l, 'f', 2, 64))
	}
	add("load-average", strings.Join(load, " "))
	add("go", f.GoVersion)
	add("gomaxprocs", number(f.GOMAXPROCS))
	add("gogc", f.GOGC)
	add("gomemlimit", f.GOMEMLIMIT)
	add("godebug", f.GODEBUG)
	add("kernel", f.Kernel)
	add("cpus", number(f.CPUs))
	if f.Memory > 0 {
		add("memory", strconv.FormatUint(f.Memory, 10))
	}
	add("virt", f.Virt)
	add("cpu-set", f.CPUSet)
	add("server-cpus", f.ServerCPUs)
	add("generator-cpus", f.GeneratorCPUs)
	add("cgroup-cpus", f.CgroupCPUs)
	add("cgroup-version", number(f.CgroupVersion))
	add("nofile", f.NoFile)
	add("thp", f.THP)
	add("governor", f.Governor)
	for _, name := range sysctlNames {
		add("sysctl."+name, f.Sysctls[name])
	}
	for _, kv := range []KeyValue{{"goos", f.GOOS, true}, {"goarch", f.GOARCH, true}, {"cpu", oneLine(f.CPUModel), true}} {
		if kv.Value != "" {
			lines = append(lines, kv)
		}
	}
	return lines
}

// perRun holds the facts that differ between any two runs, so a comparison does
// not mention that they do.
var perRun = map[string]bool{
	"date": true, "commit": true, "dirty": true, "load-average": true,
	"steal": true, "duration": true,
}

// sysctlNames are the kernel settings that decide what a network server can do:
// queues, buffers, ports, the life of closed connections, and the few outside
// the network that change what a benchmark may use.
var sysctlNames = []string{
	"net.core.somaxconn",
	"net.core.netdev_max_backlog",
	"net.core.rmem_default",
	"net.core.rmem_max",
	"net.core.wmem_default",
	"net.core.wmem_max",
	"net.core.busy_poll",
	"net.core.busy_read",
	"net.core.default_qdisc",
	"net.ipv4.ip_local_port_range",
	"net.ipv4.tcp_rmem",
	"net.ipv4.tcp_wmem",
	"net.ipv4.tcp_mem",
	"net.ipv4.tcp_max_syn_backlog",
	"net.ipv4.tcp_syncookies",
	"net.ipv4.tcp_tw_reuse",
	"net.ipv4.tcp_max_tw_buckets",
	"net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_keepalive_time",
	"net.ipv4.tcp_keepalive_intvl",
	"net.ipv4.tcp_keepalive_probes",
	"net.ipv4.tcp_congestion_control",
	"net.ipv4.tcp_slow_start_after_idle",
	"net.ipv4.tcp_moderate_rcvbuf",
	"net.ipv4.tcp_autocorking",
	"net.ipv4.tcp_notsent_lowat",
	"net.ipv4.tcp_timestamps",
	"net.ipv4.tcp_sack",
	"net.ipv4.tcp_window_scaling",
	"net.netfilter.nf_conntrack_max",
	"fs.file-max",
	"fs.nr_open",
	"kernel.io_uring_disabled",
	"kernel.perf_event_paranoid",
}
