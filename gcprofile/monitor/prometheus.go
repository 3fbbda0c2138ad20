package monitor

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
)

// A Monitor is a collector of Prometheus. Labels are few and fixed: the names of the
// rules, and three quantiles.
var _ prometheus.Collector = (*Monitor)(nil)

// The metrics, in base units. What is of the last interval is a gauge, as no scrape
// adds up what it did not see; what counts from the start of the monitor is a counter.
var (
	descHeap = prometheus.NewDesc("memory_monitor_heap_bytes",
		"Bytes of objects on the heap at the last sample.", nil, nil)
	descGoroutines = prometheus.NewDesc("memory_monitor_goroutines",
		"Goroutines at the last sample.", nil, nil)
	descAllocRate = prometheus.NewDesc("memory_monitor_allocation_rate_bytes_per_second",
		"Bytes allocated by second between the last two samples.", nil, nil)
	descCollections = prometheus.NewDesc("memory_monitor_interval_collections",
		"Collections that ended between the last two samples.", nil, nil)
	descPauses = prometheus.NewDesc("memory_monitor_interval_pauses",
		"Times that collections stopped the world between the last two samples.", nil, nil)
	descPause = prometheus.NewDesc("memory_monitor_interval_pause_seconds",
		"Least length that the quantile of these pauses can have; absent where the pauses are too few to know it.", []string{"quantile"}, nil)
	descInterval = prometheus.NewDesc("memory_monitor_interval_seconds",
		"Time between the last two samples.", nil, nil)
	descSamples = prometheus.NewDesc("memory_monitor_samples_total",
		"Samples taken.", nil, nil)
	descThreshold = prometheus.NewDesc("memory_monitor_threshold",
		"Threshold of a rule, in the rule's unit: bytes, goroutines, seconds, bytes by second.", []string{"rule"}, nil)
	descRaised = prometheus.NewDesc("memory_monitor_alert_raised",
		"1 while a rule is broken, else 0.", []string{"rule"}, nil)
	descAlerts = prometheus.NewDesc("memory_monitor_alerts_total",
		"Alerts raised or repeated, by rule.", []string{"rule"}, nil)
	descDropped = prometheus.NewDesc("memory_monitor_alerts_dropped_total",
		"Alerts that nobody took in time.", nil, nil)
)

// Describe sends all descriptions.
func (m *Monitor) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descHeap, descGoroutines, descAllocRate, descCollections, descPauses, descPause,
		descInterval, descSamples, descThreshold, descRaised, descAlerts, descDropped,
	} {
		ch <- d
	}
}

// Collect sends the figures of the last sample, and the counts. Before the first
// sample there are no figures; before the second there are no rates. It is safe to be
// called at any time, and reads nothing but what is kept.
func (m *Monitor) Collect(ch chan<- prometheus.Metric) {
	for _, metric := range m.metrics() { // sent without the lock: who scrapes may be slow
		ch <- metric
	}
}

func (m *Monitor) metrics() []prometheus.Metric {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []prometheus.Metric
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		all = append(all, prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...))
	}
	counter := func(d *prometheus.Desc, v uint64, labels ...string) {
		all = append(all, prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...))
	}
	if s := &m.last; m.taken > 0 {
		gauge(descHeap, float64(s.Heap))
		gauge(descGoroutines, float64(s.Goroutines))
		if s.Within > 0 {
			gauge(descInterval, s.Within.Seconds())
			gauge(descAllocRate, s.AllocRate)
			gauge(descCollections, float64(s.Collections))
			gauge(descPauses, float64(s.Pauses))
			for _, q := range []struct {
				quantile float64
				least    uint64
				pause    Pause
			}{{0.5, 20, s.PauseP50}, {0.99, 1000, s.PauseP99}, {1, 1, s.PauseMax}} {
				if s.Pauses >= q.least {
					gauge(descPause, q.pause.AtLeast.Seconds(), strconv.FormatFloat(q.quantile, 'g', -1, 64))
				}
			}
		}
	}
	for _, r := range m.config.rules() {
		gauge(descThreshold, r.threshold, string(r.name))
		raised := 0.0
		if m.raised[r.name] {
			raised = 1
		}
		gauge(descRaised, raised, string(r.name))
		counter(descAlerts, m.told[r.name], string(r.name))
	}
	counter(descSamples, m.taken)
	counter(descDropped, m.dropped)
	return all
}
