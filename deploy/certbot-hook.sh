#!/bin/sh
# For certbot, whose folders only root may enter: puts a renewed certificate where the unit's group may
# read it, and reloads the server.
#
#     install -m 755 certbot-hook.sh /etc/letsencrypt/renewal-hooks/deploy/nt-signal
#     RENEWED_LINEAGE=/etc/letsencrypt/live/signal.example.com \
#         /etc/letsencrypt/renewal-hooks/deploy/nt-signal     # once, for the present certificate
#
# Then TLS_CERT_FILE=/etc/nt-signal/fullchain.pem and TLS_KEY_FILE=/etc/nt-signal/privkey.pem.
set -eu
folder=${NT_SIGNAL_TLS:-/etc/nt-signal}
group=${NT_SIGNAL_GROUP:-ssl-cert}

# Renamed into place: the server never reads half a file.
install -d -m 750 -g "$group" "$folder"
for file in privkey.pem fullchain.pem; do
	install -m 640 -g "$group" "$RENEWED_LINEAGE/$file" "$folder/$file.new"
	mv "$folder/$file.new" "$folder/$file"
done
# Does nothing if the server does not run.
systemctl try-reload-or-restart nt-signal
