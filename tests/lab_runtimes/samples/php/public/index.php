<?php
require __DIR__ . '/../database.php';
$database = database();
$database->prepare('INSERT INTO visits (path) VALUES (?)')->execute([$_SERVER['REQUEST_URI']]);
$visits = $database->query('SELECT COUNT(*) FROM visits')->fetchColumn();
header('Content-Type: application/json');
echo json_encode([
    'release' => trim(file_get_contents(__DIR__ . '/../RELEASE')),
    'path' => $_SERVER['REQUEST_URI'],
    'visits' => (int) $visits,
    'https' => $_SERVER['HTTPS'] ?? '',
    'secret' => hash('sha256', getenv('SAMPLE_SECRET')),
    'memory' => ini_get('memory_limit'),
]);
