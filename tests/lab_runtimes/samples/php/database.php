<?php
// A sample of an application on PHP-FPM, told its database by the environment.
function database(): PDO
{
    $url = parse_url(getenv('DATABASE_URL'));
    parse_str($url['query'] ?? '', $options);
    return new PDO(
        "mysql:host={$url['host']};port={$url['port']};dbname=" . ltrim($url['path'], '/'),
        urldecode($url['user']),
        urldecode($url['pass']),
        [PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION, PDO::MYSQL_ATTR_SSL_CA => $options['ssl_ca']],
    );
}
