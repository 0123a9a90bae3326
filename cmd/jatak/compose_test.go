package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// composeFile is what we say of docker-compose.yml.
type composeFile struct {
	Services map[string]struct {
		Image         string            `yaml:"image"`
		ContainerName string            `yaml:"container_name"`
		Command       []string          `yaml:"command"`
		Environment   map[string]string `yaml:"environment"`
		Ports         []string          `yaml:"ports"`
		DependsOn     map[string]struct {
			Condition string `yaml:"condition"`
		} `yaml:"depends_on"`
		HealthCheck *struct {
			Test []string `yaml:"test"`
		} `yaml:"healthcheck"`
	} `yaml:"services"`
	Volumes map[string]any `yaml:"volumes"`
}

func TestComposeFile(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../docker-compose.yml")
	if err != nil {
		t.Fatal(err)
	}
	var file composeFile
	if err := yaml.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgres", "redis", "mailpit", "serve", "worker"} {
		s, ok := file.Services[name]
		if !ok {
			t.Errorf("there is no service %s", name)
			continue
		}
		if _, tag, ok := strings.Cut(s.Image, ":"); !ok || tag == "latest" {
			t.Errorf("%s: the image %q has no fixed tag", name, s.Image)
		}
		for _, port := range s.Ports {
			if !strings.HasPrefix(port, "127.0.0.1:") {
				t.Errorf("%s: port %s is open to the network", name, port)
			}
		}
		for other, on := range s.DependsOn {
			if file.Services[other].HealthCheck == nil || on.Condition != "service_healthy" {
				t.Errorf("%s waits for %s without knowing when it is ready", name, other)
			}
		}
	}
	if w := file.Services["worker"]; w.ContainerName != "" || len(w.Ports) > 0 {
		t.Error("the worker has a name or a port of its own, and could not be scaled")
	}
	// Each command is one that we have, and each setting one that it takes.
	for _, name := range []string{"serve", "worker"} {
		s := file.Services[name]
		status, help, _ := jatak(t, append(s.Command, "--help")...)
		if status != 0 {
			t.Errorf("jatak %v --help: status %d", s.Command, status)
		}
		for setting := range s.Environment {
			if !strings.Contains(help, "$"+setting) && name == "worker" {
				t.Errorf("%s: jatak %v knows no %s", name, s.Command, setting)
			}
		}
	}
	// Without a secret nothing starts.
	for _, secret := range []string{"POSTGRES_PASSWORD", "JATAK_SECRET_KEYS"} {
		if !regexp.MustCompile(`\$\{` + secret + `:\?[^}]+\}`).Match(raw) {
			t.Errorf("%s has no sentence for who left it out", secret)
		}
	}
	example, err := os.ReadFile("../../.env.example")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^(?:# )?([A-Z_]+)=`).FindAllStringSubmatch(string(example), -1) {
		if !strings.Contains(string(raw), "${"+m[1]) {
			t.Errorf(".env.example sets %s, which nothing reads", m[1])
		}
	}
}
