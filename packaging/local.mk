# Completions, units and example set-ups, installed beside the program; and the Debian packages.
zshcompdir = $(datadir)/zsh/site-functions
dist_zshcomp_DATA = packaging/completions/_pointsman
fishcompdir = $(datadir)/fish/vendor_completions.d
dist_fishcomp_DATA = packaging/completions/pointsman.fish
bashcompdir = $(datadir)/bash-completion/completions
# systemd looks there for /usr as for /usr/local. The machine's unit wants the user `pointsman`:
# systemd-sysusers makes it.
unitdir = $(prefix)/lib/systemd/system
userunitdir = $(prefix)/lib/systemd/user
sysusersdir = $(prefix)/lib/sysusers.d
packs = $(srcdir)/packaging
setups = one-gpu two-gpus cpu-gpu-vision local-cloud agents
installed_paths = sed -e 's|/usr/bin/pointsman|$(bindir)/pointsman|g' \
  -e 's|/etc/pointsman|$(sysconfpmdir)|g'

install-data-local:
	$(MKDIR_P) "$(DESTDIR)$(bashcompdir)" "$(DESTDIR)$(unitdir)" "$(DESTDIR)$(userunitdir)" \
	  "$(DESTDIR)$(sysusersdir)"
	$(INSTALL_DATA) "$(packs)/completions/pointsman.bash" \
	  "$(DESTDIR)$(bashcompdir)/pointsman"
	$(installed_paths) "$(packs)/pointsman.service" \
	  > "$(DESTDIR)$(unitdir)/pointsman.service"
	$(installed_paths) "$(packs)/pointsman-user.service" \
	  > "$(DESTDIR)$(userunitdir)/pointsman.service"
	$(INSTALL_DATA) "$(packs)/debian/pointsman.sysusers" \
	  "$(DESTDIR)$(sysusersdir)/pointsman.conf"
	for s in $(setups); do \
	  $(MKDIR_P) "$(DESTDIR)$(examplesdir)/$$s/routes.d" && \
	  $(INSTALL_DATA) "$(packs)/examples/$$s/models.conf" "$(packs)/examples/$$s/README.md" \
	    "$(DESTDIR)$(examplesdir)/$$s/" && \
	  $(INSTALL_DATA) "$(packs)/examples/$$s/routes.d/"*.conf \
	    "$(DESTDIR)$(examplesdir)/$$s/routes.d/" || exit 1; done

uninstall-local:
	rm -f "$(DESTDIR)$(bashcompdir)/pointsman" "$(DESTDIR)$(unitdir)/pointsman.service" \
	  "$(DESTDIR)$(userunitdir)/pointsman.service" "$(DESTDIR)$(sysusersdir)/pointsman.conf"
	for s in $(setups); do rm -rf "$(DESTDIR)$(examplesdir)/$$s"; done

# It configures a build of its own, so nothing has to be built before.
.PHONY: deb
deb:
	$(top_srcdir)/packaging/deb.sh $(abs_top_builddir)

EXTRA_DIST += packaging/completions/pointsman.bash packaging/pointsman.service \
  packaging/pointsman-user.service packaging/debian packaging/deb.sh packaging/Dockerfile \
  packaging/Dockerfile.dockerignore packaging/compose.yaml packaging/examples packaging/grafana
